/** One who has the key and tells a lone node what it likes, and reads what the node answers: for tests of what a single core does with what it hears. */
import { nodeHash } from "../node-hash.ts";
import { noMetadata } from "../swim/member.ts";
import type { MemberRecord, Message } from "../swim/messages.ts";
import { headerBytes, KeyRing, PacketCipher } from "../swim/packet-cipher.ts";
import { decodePacket, joinFrames, MessageEncoder } from "../swim/packet-format.ts";
import { Swim, type SwimIdentity } from "../swim/swim.ts";
import { simulationCluster, simulationKey } from "./gossip-simulation.ts";
import { seededRandom } from "./seeded-random.ts";
import { sumAead } from "./sum-aead.ts";

const identity: SwimIdentity = { name: "a", address: "a:1", clusterId: simulationCluster, keys: [simulationKey], metadata: noMetadata };

/** A node `a` at `a:1`, if nothing else is said. */
export function swimOf(change: Partial<SwimIdentity> = {}): Swim {
  return new Swim({ random: seededRandom(1), aead: sumAead, hash: nodeHash }, { ...identity, ...change });
}

export function recordOf(name: string, change: Partial<MemberRecord> = {}): MemberRecord {
  const session = "00000000000000cc";
  return { name, state: "alive", incarnation: 1, session, address: `${name}:1`, metadata: noMetadata, ageMs: 0, ...change };
}

export function aliveOf(name: string, incarnation = 1): Message {
  return { type: "alive", record: recordOf(name, { incarnation }) };
}

export interface Heard {
  readonly address: string;
  readonly message: Message;
}

export class Stranger {
  readonly #cipher = new PacketCipher({ aead: sumAead, keys: new KeyRing([simulationKey]) }, simulationCluster);
  readonly #encoder = new MessageEncoder();
  readonly #swim: Swim;
  #counter = 0;
  clockMs = 0;

  constructor(swim: Swim) {
    this.#swim = swim;
  }

  say(messages: readonly Message[], session = "00000000000000bb"): void {
    const plaintext = joinFrames(messages.map((message) => this.#encoder.encode(message)));
    const packet = this.#cipher.seal(session, this.#counter++, this.#swim.self.session, plaintext);
    this.#swim.receive(packet, "stranger:1", this.clockMs);
  }

  run(forMs: number): void {
    for (const endMs = this.clockMs + forMs; this.clockMs < endMs; this.clockMs += 100) this.#swim.tick(this.clockMs);
  }

  /** What the node has sent since this was asked. sumAead leaves the plaintext as it is. */
  heard(): readonly Heard[] {
    return this.#swim.effects().packets.flatMap(({ address, bytes }) => {
      const { messages } = decodePacket(bytes.subarray(headerBytes, bytes.length - 16));
      return messages.map((message) => ({ address, message }));
    });
  }
}
