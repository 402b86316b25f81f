/**
 * What members say to each other. A packet carries any number of messages; each is complete by itself, so that a lost packet loses nothing but time.
 *
 * docs/internals/membership.md draws the conversations.
 */
import type { Member, MemberState } from "./member.ts";

/** A row of a table, as it is told to others. `ageMs` counts since a member died or left; 0 for the living. */
export interface MemberRecord extends Member {
  readonly ageMs: number;
}

/** A named value of the host, complete. */
export interface ItemMessage {
  readonly type: "item";
  readonly name: string;
  readonly version: number;
  readonly bytes: Uint8Array;
}

/** A named value exists in this version, with this hash of its content (32 hex digits); whoever lacks it pulls it from the sender. */
export interface AnnounceMessage {
  readonly type: "announce";
  readonly name: string;
  readonly version: number;
  readonly hash: string;
  readonly lengthBytes: number;
}

export type Message =
  /** Are you there? `target` is the name that is meant, so that another node at the same address keeps silent. */
  | { readonly type: "ping"; readonly seq: number; readonly source: string; readonly target: string }
  | { readonly type: "ack"; readonly seq: number }
  /** From a relay: I am here, but your target did not answer me either. */
  | { readonly type: "nack"; readonly seq: number }
  | { readonly type: "pingRequest"; readonly seq: number; readonly target: string; readonly address: string }
  /** A member's own words: it is alive in this incarnation, at this address, in this session, with this metadata. */
  | { readonly type: "alive"; readonly record: MemberRecord }
  | { readonly type: "suspect"; readonly name: string; readonly incarnation: number; readonly from: string }
  | { readonly type: "dead"; readonly name: string; readonly incarnation: number; readonly from: string }
  | { readonly type: "left"; readonly name: string; readonly incarnation: number }
  /** Sums over the sender's table, one per bucket of names (push-pull.ts). */
  | { readonly type: "digest"; readonly source: string; readonly sums: Uint32Array }
  /** The answer to a digest, in the first of the packets with records. `ask`: buckets that the asker shall send in turn. */
  | { readonly type: "sync"; readonly ask: readonly number[]; readonly isPartial: boolean }
  /** What the sender holds about a member: hearsay, other than `alive`. */
  | { readonly type: "record"; readonly record: MemberRecord }
  | AnnounceMessage
  | ItemMessage
  | { readonly type: "pull"; readonly name: string; readonly version: number; readonly hash: string; readonly parts: readonly number[] }
  | {
      readonly type: "part";
      readonly name: string;
      readonly version: number;
      readonly hash: string;
      readonly lengthBytes: number;
      readonly index: number;
      readonly bytes: Uint8Array;
    }
  /** Your packet was sealed for another life of mine: the envelope of this one shows which I live now. `address` is the sender's own. */
  | { readonly type: "hello"; readonly address: string };

export type MessageType = Message["type"];

/** Never re-used; see packet-format.ts. */
export const messageTags: Readonly<Record<MessageType, number>> = {
  ping: 1,
  ack: 2,
  nack: 3,
  pingRequest: 4,
  alive: 5,
  suspect: 6,
  dead: 7,
  left: 8,
  digest: 9,
  sync: 10,
  record: 11,
  announce: 12,
  item: 13,
  pull: 14,
  part: 15,
  hello: 16,
};

export type ClaimMessage = Extract<Message, { readonly type: MemberState }>;
