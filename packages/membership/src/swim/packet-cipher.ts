/**
 * The seal of every packet: AES-256-GCM under a key of the ring, with all that is not secret authenticated.
 *
 * Sealed: | version 1 | keyId 4 | session 8 | counter 4 | echo 8 | ciphertext … | tag 16 |       41 bytes more than the plaintext
 * Nonce:  | session 8 | counter 4 |          Authenticated besides: the 25 bytes of the header and the cluster id.
 *
 * session: drawn at random for each life of a process, so that no nonce is used twice under a key: with a million sessions per key two are equal with
 * probability 3e-8. counter: counts the packets of a session; before it is used up the node takes a new session. echo: the session of the receiver as the
 * sender knows it, zero when it does not; replay-guard.ts says what for.
 *
 * Rotation: install the new key on every node, then `use` it on every node, then remove the old one. Each accepts all keys of its ring and seals with one.
 * Source: NIST SP 800-38D, 8.2.1 (deterministic construction of the nonce).
 */
import { assert, CfsError } from "@cfs/core";

/** Authenticated encryption with a 32-byte key, a 12-byte nonce and a 16-byte tag at the end. node-aead.ts has the real one. */
export interface Aead {
  seal(key: Uint8Array, nonce: Uint8Array, authenticated: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** null when the seal is broken or was made with another key. */
  open(key: Uint8Array, nonce: Uint8Array, authenticated: Uint8Array, sealed: Uint8Array): Uint8Array | null;
}

/** `id` is the number of the rotation, a 32-bit unsigned integer; two keys never share one. */
export interface GossipKey {
  readonly id: number;
  readonly bytes: Uint8Array;
}

export const envelopeVersion = 1;
export const headerBytes = 25;
export const sealBytes = 41;
export const counterMax = 0xffff_ffff;
export const unknownSession = "0000000000000000";
const keyBytes = 32;
const keysMax = 8;

/** The keys of the cluster that this node knows. */
export class KeyRing {
  readonly #keys = new Map<number, Uint8Array>();
  #activeId: number;

  /** The first key is the one that seals. */
  constructor(keys: readonly GossipKey[]) {
    const first = keys[0];
    assert(first !== undefined, "a key ring has a key");
    for (const key of keys) this.install(key);
    this.#activeId = first.id;
  }

  get activeId(): number {
    return this.#activeId;
  }

  get ids(): readonly number[] {
    return [...this.#keys.keys()];
  }

  bytesOf(id: number): Uint8Array | null {
    return this.#keys.get(id) ?? null;
  }

  /** From now on packets under this key are accepted. */
  install({ id, bytes }: GossipKey): void {
    assert(bytes.length === keyBytes && Number.isInteger(id) && id >= 0 && id <= 0xffff_ffff, "a gossip key has 32 bytes and a 32-bit id");
    const held = this.#keys.get(id);
    if (held !== undefined && !bytes.every((byte, index) => byte === held[index]))
      throw new CfsError("EXISTS", `gossip key ${id} is installed with other bytes`);
    if (held === undefined && this.#keys.size >= keysMax)
      throw new CfsError("NO_SPACE", `the ring holds ${keysMax} gossip keys: remove one`);
    this.#keys.set(id, Uint8Array.from(bytes));
  }

  /** From now on packets are sealed with this key. */
  use(id: number): void {
    if (!this.#keys.has(id)) throw new CfsError("NOT_FOUND", `gossip key ${id} is not installed`);
    this.#activeId = id;
  }

  remove(id: number): void {
    if (id === this.#activeId) throw new CfsError("BUSY", `gossip key ${id} is in use`);
    this.#keys.delete(id);
  }
}

export interface Opened {
  readonly session: string;
  readonly counter: number;
  readonly echo: string;
  readonly plaintext: Uint8Array;
}

export class PacketCipher {
  readonly #aead: Aead;
  readonly #keys: KeyRing;
  readonly #clusterId: Uint8Array;

  constructor(parts: { readonly aead: Aead; readonly keys: KeyRing }, clusterId: string) {
    this.#aead = parts.aead;
    this.#keys = parts.keys;
    this.#clusterId = Buffer.from(clusterId, "utf8");
  }

  #authenticated(header: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(headerBytes + this.#clusterId.length);
    bytes.set(header);
    bytes.set(this.#clusterId, headerBytes);
    return bytes;
  }

  seal(session: string, counter: number, echo: string, plaintext: Uint8Array): Uint8Array {
    assert(counter >= 0 && counter <= counterMax, "a nonce is used once");
    const id = this.#keys.activeId;
    const key = this.#keys.bytesOf(id);
    assert(key !== null, "the key in use is installed");
    const header = Buffer.alloc(headerBytes);
    header[0] = envelopeVersion;
    header.writeUInt32LE(id, 1);
    header.write(session, 5, 8, "hex");
    header.writeUInt32LE(counter, 13);
    header.write(echo, 17, 8, "hex");
    const sealed = this.#aead.seal(key, header.subarray(5, 17), this.#authenticated(header), plaintext);
    assert(sealed.length === plaintext.length + sealBytes - headerBytes, "a seal adds a tag of 16 bytes");
    const packet = new Uint8Array(headerBytes + sealed.length);
    packet.set(header);
    packet.set(sealed, headerBytes);
    return packet;
  }

  /** null for anything that no member of this cluster sealed with a key that is known here. */
  open(packet: Uint8Array): Opened | null {
    if (packet.length < sealBytes || packet[0] !== envelopeVersion) return null;
    const header = Buffer.from(packet.buffer, packet.byteOffset, headerBytes);
    const key = this.#keys.bytesOf(header.readUInt32LE(1));
    if (key === null) return null;
    const plaintext = this.#aead.open(key, header.subarray(5, 17), this.#authenticated(header), packet.subarray(headerBytes));
    if (plaintext === null) return null;
    return {
      session: header.toString("hex", 5, 13),
      counter: header.readUInt32LE(13),
      echo: header.toString("hex", 17, 25),
      plaintext,
    };
  }
}
