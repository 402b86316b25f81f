/**
 * The state machine under test: registers by name, with a digest that tells any two different histories apart.
 *
 * Command:  | kind 1 (1 write, 2 swap) | key 2 | expected 4 | value 4 | padding … |
 * Snapshot: | index 8 | history 4 | count 4 | count × (key 2, value 4) | padding to a length that takes several chunks |
 *
 * `history` folds every applied entry in order, `contents` sums up what the registers hold; both are kept as entries come, so that
 * states can be compared at every index for the price of two words.
 */
import { assert } from "@cfs/core";

import type { RegisterInput, RegisterOutput } from "../../linearizability/index.ts";

const commandBytes = 11;
const snapshotHeadBytes = 16;
const registerBytes = 6;

/** Keys are numbers inside, "k12" outside. */
export function keyNumber(key: string): number {
  return Number(key.slice(1));
}

export function encodeCommand(input: RegisterInput, paddingBytes: number): Uint8Array {
  assert(input.kind !== "read", "reads are no commands");
  const bytes = new Uint8Array(commandBytes + paddingBytes);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, input.kind === "write" ? 1 : 2);
  view.setUint16(1, keyNumber(input.key));
  view.setUint32(3, input.kind === "swap" ? input.expected : 0);
  view.setUint32(7, input.value);
  return bytes;
}

export function mixWords(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e37_79b1);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}

export function hashOfBytes(bytes: Uint8Array): number {
  let hash = bytes.length;
  for (let at = 0; at < bytes.length; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x0100_0193);
  return hash >>> 0;
}

/** A register and its value as one word; the sum over all registers is the digest of the contents. */
function registerDigest(key: number, value: number): number {
  return value === 0 ? 0 : mixWords(mixWords(0x51ed_270b, key), value);
}

export class RegisterMachine {
  appliedIndex = 0;
  #history = 0;
  #contents = 0;
  readonly #registers: Map<number, number> = new Map();

  /** Two words as one number that is equal for equal histories and contents only, but for chance. */
  get digest(): number {
    return this.#history * 0x1_0000 + (this.#contents & 0xffff);
  }

  read(key: string): number {
    return this.#registers.get(keyNumber(key)) ?? 0;
  }

  /** `data` null: an entry that means nothing to the machine, but counts. */
  apply(index: number, term: number, data: Uint8Array | null): RegisterOutput | null {
    assert(index === this.appliedIndex + 1, "entries are applied in order, each once");
    this.appliedIndex = index;
    this.#history = mixWords(mixWords(this.#history, term), data === null ? 0 : hashOfBytes(data));
    return data === null ? null : this.#run(data);
  }

  #run(data: Uint8Array): RegisterOutput {
    assert(data.length >= commandBytes, "a command is whole");
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const key = view.getUint16(1);
    const value = view.getUint32(7);
    if (data[0] === 1) {
      this.#set(key, value);
      return { kind: "done" };
    }
    const found = this.#registers.get(key) ?? 0;
    if (found === view.getUint32(3)) this.#set(key, value);
    return { kind: "swapped", found };
  }

  #set(key: number, value: number): void {
    const before = this.#registers.get(key) ?? 0;
    this.#contents = (this.#contents - registerDigest(key, before) + registerDigest(key, value)) | 0;
    this.#registers.set(key, value);
  }

  snapshot(paddingBytes: number): Uint8Array {
    const bytes = new Uint8Array(snapshotHeadBytes + this.#registers.size * registerBytes + paddingBytes);
    const view = new DataView(bytes.buffer);
    view.setFloat64(0, this.appliedIndex);
    view.setUint32(8, this.#history);
    view.setUint32(12, this.#registers.size);
    let at = snapshotHeadBytes;
    for (const [key, value] of this.#registers) {
      view.setUint16(at, key);
      view.setUint32(at + 2, value);
      at += registerBytes;
    }
    return bytes;
  }

  static restore(bytes: Uint8Array): RegisterMachine {
    const machine = new RegisterMachine();
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    machine.appliedIndex = view.getFloat64(0);
    machine.#history = view.getUint32(8);
    const count = view.getUint32(12);
    assert(bytes.length >= snapshotHeadBytes + count * registerBytes, "a snapshot is whole");
    for (let number = 0; number < count; number++) {
      const at = snapshotHeadBytes + number * registerBytes;
      machine.#set(view.getUint16(at), view.getUint32(at + 2));
    }
    return machine;
  }
}
