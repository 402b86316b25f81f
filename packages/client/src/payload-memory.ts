/**
 * Memory for what the server sends: buffers in size classes that are used again, because touching fresh memory costs more than filling it.
 *
 * Bounded: past `keptBytesMax` a buffer that comes back is left to the garbage collector.
 */
import { assert } from "@cfs/core";
import type { PayloadPool } from "@cfs/rpc";

const classBytesMin = 4096;
/** Read-ahead of 8 MiB and direct reads in flight, twice. */
const keptBytesMax = 32 << 20;

export class PayloadMemory implements PayloadPool {
  readonly #free = new Map<number, ArrayBuffer[]>();
  #keptBytes = 0;

  allocate(lengthBytes: number): Uint8Array {
    const size = classOf(lengthBytes);
    const kept = this.#free.get(size)?.pop();
    if (kept) this.#keptBytes -= size;
    return new Uint8Array(kept ?? new ArrayBuffer(size), 0, lengthBytes);
  }

  release(payload: Uint8Array): void {
    const { buffer } = payload;
    const size = buffer.byteLength;
    assert(buffer instanceof ArrayBuffer && size === classOf(payload.length), "the buffer came from here");
    if (this.#keptBytes + size > keptBytesMax) return;
    this.#keptBytes += size;
    const free = this.#free.get(size);
    if (free) free.push(buffer);
    else this.#free.set(size, [buffer]);
  }
}

/** The next power of two, at least 4 KiB. */
function classOf(lengthBytes: number): number {
  return lengthBytes <= classBytesMin ? classBytesMin : 2 ** Math.ceil(Math.log2(lengthBytes));
}
