/**
 * Between messages and the network: seals and opens packets, knows the sessions of the peers, answers strangers by a hello.
 *
 * Sessions come from the members' own words (alive, record) and, fresher, from the envelopes of packets that were taken. A packet with an old or unknown echo is lost on its receiver, whose
 * hello makes this node send the last packet again: a first contact costs one round trip more, and no state is built up for strangers.
 * Owns its packets: `take` hands them over. Invariant: a sealed packet has at most `packetBytesMax` bytes.
 */
import { assert } from "@cfs/core";
import type { SwimCounters } from "./events.ts";
import { type Packet, decodePacket, joinFrames, type MessageEncoder } from "./packet-format.ts";
import { limits } from "./options.ts";
import { type Opened, type PacketCipher, sealBytes, unknownSession } from "./packet-cipher.ts";
import type { ReplayGuard } from "./replay-guard.ts";

export interface OutgoingPacket {
  readonly address: string;
  readonly bytes: Uint8Array;
}

interface Peer {
  session: string;
  /** The last packet that was sealed for it, to be sealed again when a hello shows that it was lost; null when a hello was answered so. */
  lastPlaintext: Uint8Array | null;
  lastMs: number;
}

export interface WireParts {
  readonly cipher: PacketCipher;
  readonly guard: ReplayGuard;
  readonly encoder: MessageEncoder;
  readonly counters: SwimCounters;
}

/** A packet older than this is not sent again after a hello: its question is over. */
const resendMs = 2_000;
const peersMax = 2 * limits.membersMax;

export class SealedWire {
  readonly #parts: WireParts;
  readonly #address: string;
  readonly #packetBytesMax: number;
  readonly #peers = new Map<string, Peer>();
  #packets: OutgoingPacket[] = [];

  constructor(parts: WireParts, options: { readonly address: string; readonly packetBytesMax: number }) {
    this.#parts = parts;
    this.#address = options.address;
    this.#packetBytesMax = options.packetBytesMax;
  }

  /** How many bytes of frames fit in one packet. */
  get roomBytes(): number {
    return this.#packetBytesMax - sealBytes - 1;
  }

  take(): readonly OutgoingPacket[] {
    const packets = this.#packets;
    this.#packets = [];
    return packets;
  }

  #peer(address: string): Peer {
    let peer = this.#peers.get(address);
    if (peer === undefined) {
      if (this.#peers.size >= peersMax) this.#peers.delete(this.#peers.keys().next().value as string);
      peer = { session: unknownSession, lastPlaintext: null, lastMs: 0 };
      this.#peers.set(address, peer);
    }
    return peer;
  }

  /** The member at this address says that it lives in this session. */
  learn(address: string, session: string): void {
    if (address !== "" && session !== "") this.#peer(address).session = session;
  }

  send(address: string, frames: readonly Uint8Array[], nowMs: number): void {
    const plaintext = joinFrames(frames);
    const peer = this.#peer(address);
    peer.lastPlaintext = plaintext;
    peer.lastMs = nowMs;
    this.#seal(address, peer.session, plaintext);
  }

  #seal(address: string, echo: string, plaintext: Uint8Array): void {
    const { cipher, guard, counters } = this.#parts;
    assert(plaintext.length <= this.#packetBytesMax - sealBytes, "a packet fits its maximum");
    const bytes = cipher.seal(guard.session, guard.nextCounter(), echo, plaintext);
    counters.packetsSent++;
    counters.bytesSent += bytes.length;
    this.#packets.push({ address, bytes });
  }

  /** The messages of a packet that is to be believed; null for all others, which are counted. */
  receive(bytes: Uint8Array, from: string, nowMs: number): Packet | null {
    const { cipher, guard, counters } = this.#parts;
    counters.packetsReceived++;
    counters.bytesReceived += bytes.length;
    const opened = cipher.open(bytes);
    if (opened === null) {
      counters.packetsForeign++;
      return null;
    }
    if (!guard.isForThisLife(opened.echo)) {
      counters.packetsUnaddressed++;
      const hello = joinFrames([this.#parts.encoder.encode({ type: "hello", address: this.#address })]);
      this.#seal(from, opened.session, hello);
      return null;
    }
    if (!guard.admits(opened.session, opened.counter)) {
      counters.packetsReplayed++;
      return null;
    }
    return this.#decode(opened, from, nowMs);
  }

  #decode(opened: Opened, from: string, nowMs: number): Packet | null {
    const { counters } = this.#parts;
    let packet: Packet;
    try {
      packet = decodePacket(opened.plaintext);
    } catch (reason) {
      if (reason instanceof Error && reason.name === "CfsError") {
        counters.packetsMalformed++;
        return null;
      }
      throw reason;
    }
    counters.messagesUnknown += packet.unknownCount;
    this.learn(from, opened.session);
    for (const message of packet.messages)
      if (message.type === "hello") {
        this.#welcome(message.address, opened.session, nowMs);
        if (message.address !== from) this.#welcome(from, opened.session, nowMs);
      }
    return packet;
  }

  /** A peer showed its session, in answer to a packet that was lost on it. */
  #welcome(address: string, session: string, nowMs: number): void {
    const peer = this.#peers.get(address);
    if (peer === undefined) return;
    const { lastPlaintext, lastMs } = peer;
    peer.session = session;
    peer.lastPlaintext = null;
    if (lastPlaintext !== null && nowMs - lastMs <= resendMs) this.#seal(address, session, lastPlaintext);
  }
}
