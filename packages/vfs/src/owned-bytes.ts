/** Bytes that may stay: a small view must not keep the large buffer of a network frame alive, nor be overwritten when that is used again. */
export function ownedBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}
