/**
 * A file whose changes are lost, kept or torn by a crash unless they were made durable: what a page cache and a drive's
 * cache do at worst.
 *
 * `current` is what reads see. `base` plus `log`, in order, gives the same bytes; entries of the log that are not durable have an
 * uncertain fate. Invariant: a durable entry survives every crash, with all durable ones before and after it in their order.
 * Sectors of 512 bytes are written whole or not at all, each for itself: that is all that a drive promises.
 */
import { assert } from "@cfs/core";
import type { Random } from "@cfs/core";

import { SparseBytes } from "./sparse-bytes.ts";

const sectorBytes = 512;

type Work =
  | { readonly kind: "write"; readonly offsetBytes: number; readonly bytes: Uint8Array }
  | { readonly kind: "punch"; readonly offsetBytes: number; readonly lengthBytes: number }
  | { readonly kind: "extend"; readonly sizeBytes: number }
  | { readonly kind: "truncate"; readonly sizeBytes: number };

/** Unsettled changes are under way: their caller was told nothing, so a sync does not cover them. */
export interface Change {
  readonly work: Work;
  state: "unsettled" | "settled" | "durable";
}

export class VolatileFile {
  #current: SparseBytes = new SparseBytes();
  #base: SparseBytes = new SparseBytes();
  #log: Change[] = [];

  get sizeBytes(): number {
    return this.#current.sizeBytes;
  }

  get storedBytes(): number {
    return this.#current.storedBytes;
  }

  /** Bytes that a crash may take. */
  get unsyncedBytes(): number {
    let sum = 0;
    for (const { work, state } of this.#log) if (work.kind === "write" && state !== "durable") sum += work.bytes.byteLength;
    return sum;
  }

  read(target: Uint8Array, offsetBytes: number): number {
    return this.#current.read(target, offsetBytes);
  }

  /** Applies the change for readers; the bytes are copied by the caller. */
  begin(work: Work): Change {
    const change: Change = { work, state: "unsettled" };
    apply(this.#current, work);
    this.#log.push(change);
    return change;
  }

  /** The caller is told that the change is done, and durable if it was written through. */
  settle(change: Change, isDurable: boolean): void {
    assert(change.state === "unsettled", "a change settles once");
    change.state = isDurable ? "durable" : "settled";
    this.#fold();
  }

  /** What a sync that begins now covers; pass it to `endSync` when the sync is done. */
  beginSync(): readonly Change[] {
    return this.#log.filter((change) => change.state === "settled");
  }

  endSync(covered: readonly Change[]): void {
    for (const change of covered) change.state = "durable";
    this.#fold();
  }

  /** Back to what the medium holds: durable changes, and of the others what chance left. */
  crash(random: Random): void {
    for (const { work, state } of this.#log) {
      if (state === "durable") apply(this.#base, work);
      else applyByChance(this.#base, work, random);
    }
    this.#log = [];
    this.#current = this.#base.clone();
  }

  /** Durable changes at the front of the log become part of the base, so that the log stays as short as what is unsynced. */
  #fold(): void {
    let count = 0;
    for (const { work, state } of this.#log) {
      if (state !== "durable") break;
      apply(this.#base, work);
      count++;
    }
    if (count > 0) this.#log.splice(0, count);
  }
}

function apply(bytes: SparseBytes, work: Work): void {
  switch (work.kind) {
    case "write":
      return bytes.write(work.bytes, work.offsetBytes);
    case "punch":
      return bytes.clear(work.offsetBytes, work.lengthBytes);
    case "extend":
      bytes.sizeBytes = Math.max(bytes.sizeBytes, work.sizeBytes);
      return;
    case "truncate":
      return bytes.truncate(work.sizeBytes);
  }
}

/** Lost, whole, or (writes) any of its sectors. */
function applyByChance(bytes: SparseBytes, work: Work, random: Random): void {
  const fate = Math.floor(random.next() * 3);
  if (fate === 0) return;
  if (fate === 1 || work.kind !== "write") return apply(bytes, work);
  const end = work.offsetBytes + work.bytes.byteLength;
  for (let at = work.offsetBytes; at < end;) {
    const next = Math.min(end, (Math.floor(at / sectorBytes) + 1) * sectorBytes);
    if (random.next() < 0.5) bytes.write(work.bytes.subarray(at - work.offsetBytes, next - work.offsetBytes), at);
    at = next;
  }
}
