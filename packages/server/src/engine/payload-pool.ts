/**
 * Where received payloads are put: the page-aligned pool that io_uring knows, or plain memory while the pool is used up.
 *
 * The transport must not be made to wait in the middle of a message; the sessions pause their connections long before plain memory matters.
 */
import type { PayloadPool } from "@cfs/rpc";
import type { BufferPool } from "@cfs/storage";

export function payloadPool(pool: BufferPool): PayloadPool {
  return {
    allocate: (lengthBytes) => pool.tryTake(lengthBytes) ?? Buffer.allocUnsafeSlow(lengthBytes),
    release: (payload) => givePayload(pool, payload),
  };
}

/** Takes a received payload back, wherever it was put. */
export function givePayload(pool: BufferPool, payload: Uint8Array): void {
  if (payload.buffer === pool.memory) pool.give(payload);
}
