/** Results of reads: of bytes in memory, of zeros, and cut to a length. */
import type { ReadResult } from "./vfs.ts";

const zeros: Uint8Array = new Uint8Array(128 * 1024);
const nothing = (): void => {};

export const emptyResult: ReadResult = Object.freeze({ lengthBytes: 0, parts: Object.freeze([]), release: nothing });

/** `bytes` (never changed in place), then zeros up to `lengthBytes`. */
export function memoryResult(bytes: Uint8Array | null, lengthBytes: number): ReadResult {
  const parts: Uint8Array[] = [];
  let left = lengthBytes;
  if (bytes !== null && bytes.length > 0) {
    parts.push(bytes);
    left -= bytes.length;
  }
  for (; left > 0; left -= zeros.length) parts.push(left < zeros.length ? zeros.subarray(0, left) : zeros);
  return { lengthBytes, parts, release: nothing };
}

/** The same bytes, at most `lengthBytes` of them. */
export function cutResult(result: ReadResult, lengthBytes: number): ReadResult {
  if (result.lengthBytes <= lengthBytes) return result;
  const parts: Uint8Array[] = [];
  let left = lengthBytes;
  for (const part of result.parts) {
    if (left === 0) break;
    const taken = part.length <= left ? part : part.subarray(0, left);
    parts.push(taken);
    left -= taken.length;
  }
  return { lengthBytes, parts, release: () => result.release() };
}
