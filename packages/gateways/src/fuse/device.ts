/**
 * What the session needs of a FUSE device: requests in slots of one shared memory, replies described in the same memory.
 *
 * @cfs/native's FuseDevice is the real one; testing/kernel.ts plays the kernel in memory.
 */
export interface DeviceLayout {
  /** u32 length of each request of a batch. */
  readonly lengthsOffset: number;
  /** Four u32 per reply: offset of the head, its length, how many parts follow it, result. */
  readonly descriptorsOffset: number;
  readonly replyCount: number;
  readonly arenaOffset: number;
  readonly arenaBytes: number;
  readonly slotCount: number;
  readonly slotBytes: number;
  /** Where the request of slot 0 begins, 8-byte aligned. */
  readonly requestsOffset: number;
  readonly requestBytesMax: number;
}

export interface DeviceHandlers {
  /** Requests 0 to count-1 may be read until this returns. */
  onBatch(count: number): void;
  onEnd(errno: number): void;
}

export interface Device {
  readonly memory: ArrayBuffer;
  readonly layout: DeviceLayout;
  start(handlers: DeviceHandlers): void;
  pause(): void;
  resume(): void;
  flush(count: number, parts: readonly Uint8Array[]): number;
  notify(messages: Uint8Array): Promise<readonly number[]>;
  close(): void;
}
