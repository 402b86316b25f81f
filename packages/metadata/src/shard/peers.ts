/**
 * The port to the other nodes, and what travels through it: one batch for each peer and turn, for all groups together.
 *
 * Nothing is assumed of the network but that what arrives is what was sent: batches may be lost, doubled, delayed and reordered; the items of a
 * batch arrive together and in order. Heartbeats of all groups fall into the same turn, so a peer gets them in one batch.
 */
import type { Message } from "raft-ts";
import type { GroupId, Payload } from "./group-log.ts";

/** Number of a node, which may host one replica of each group: a safe integer from 1. */
export type PeerId = number;

export type PeerItem =
  | {
      readonly type: "raft";
      readonly group: GroupId;
      readonly message: Message;
      /** Of appends: entries up to here need no payload of the receiver, for two nodes have it. */
      readonly gate: number;
      /** Of accepted append replies: the sender has the payload of every entry up to here that is not known to be committed. */
      readonly held: number;
    }
  /** Before the append that has their entries, or on request. */
  | { readonly type: "payloads"; readonly group: GroupId; readonly payloads: readonly Payload[] }
  /** The sender's log matches that of the leader of `term` up to `index` at least, and it has the payloads up to there. */
  | { readonly type: "held"; readonly group: GroupId; readonly replica: number; readonly term: number; readonly index: number }
  /** Asks for payloads of entries that the sender has without them. */
  | { readonly type: "want"; readonly group: GroupId; readonly entries: readonly { readonly index: number; readonly term: number }[] };

export interface Peers {
  /** Takes a batch, which must not change afterwards. Never throws and never waits: what cannot be sent is lost. */
  send(to: PeerId, batch: readonly PeerItem[]): void;
}

/** Where replicas live. */
export interface Placement {
  /** Number of this node's replica of the group. Never used again for another one, as raft-ts asks: a node that lost its log gets a new number. */
  self(group: GroupId): number;
  /** The node of a replica; null when it is not known, and what is for it is lost. */
  peerOf(group: GroupId, replica: number): PeerId | null;
}

/** Collects what a turn has to say to each peer. */
export class Outbox {
  readonly #peers: Peers;
  readonly #batches: Map<PeerId, PeerItem[]> = new Map();

  constructor(peers: Peers) {
    this.#peers = peers;
  }

  put(to: PeerId, item: PeerItem): void {
    const batch = this.#batches.get(to);
    if (batch === undefined) this.#batches.set(to, [item]);
    else batch.push(item);
  }

  flush(): void {
    if (this.#batches.size === 0) return;
    for (const [to, batch] of this.#batches) this.#peers.send(to, batch);
    this.#batches.clear();
  }
}
