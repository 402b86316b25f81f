/**
 * Tells the kernel what to forget: pages and attributes of an inode, or one name.
 *
 * Message: fuse_out_header with the code in place of the error and unique 0, then
 * fuse_notify_inval_inode_out | node number 8 | offset 8 | length 8 | (length 0: to the end; offset -1: attributes alone) or
 * fuse_notify_inval_entry_out | parent 8 | name length 4 | flags 4 |, name, NUL.
 *
 * The kernel takes locks for it that may be free only once another request is answered. So messages are written on another
 * thread, one batch at a time, and no request may wait for an invalidation. What is asked for twice while waiting is sent once.
 */
import type { Invalidation } from "@cfs/vfs";
import type { Device } from "./device.ts";
import { nodeOf } from "./encode.ts";
import { notifyCode, outHeaderBytes } from "./protocol.ts";

const high = 0x1_0000_0000;
/** Messages per write on the other thread, so that one batch stays small. */
const batchMax = 1024;

export function encodeInvalidation(what: Invalidation): Buffer {
  if (what.kind !== "entry") {
    const message = header(outHeaderBytes + 24, notifyCode.invalidateInode);
    write64(message, 16, nodeOf(what.ino));
    if (what.kind === "pages") write64(message, 24, what.offsetBytes);
    if (what.kind === "attributes") message.writeBigInt64LE(-1n, 24);
    return message;
  }
  const message = header(outHeaderBytes + 16 + what.name.length + 1, notifyCode.invalidateEntry);
  write64(message, 16, nodeOf(what.parent));
  message.writeUInt32LE(what.name.length, 24);
  message.write(what.name, 32, "latin1");
  return message;
}

/** Asks the kernel to queue again what a former process read and did not answer (FUSE_NOTIFY_RESEND, Linux 6.9). */
export function encodeResend(): Buffer {
  return header(outHeaderBytes, notifyCode.resend);
}

function header(lengthBytes: number, code: number): Buffer {
  const message = Buffer.alloc(lengthBytes);
  message.writeUInt32LE(lengthBytes, 0);
  message.writeUInt32LE(code, 4);
  return message;
}

function write64(target: Buffer, at: number, value: number): void {
  target.writeUInt32LE(value >>> 0, at);
  target.writeUInt32LE(Math.floor(value / high), at + 4);
}

function keyOf(what: Invalidation): string {
  switch (what.kind) {
    case "entry":
      return `${what.parent}/${what.name}`;
    case "pages":
      return `${what.ino} from ${what.offsetBytes}`;
    case "inode":
    case "attributes":
      return `${what.ino} ${what.kind}`;
  }
}

export class Invalidator {
  readonly #device: Pick<Device, "notify">;
  readonly #waiting = new Map<string, Invalidation>();
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #isClosed = false;

  constructor(device: Pick<Device, "notify">) {
    this.#device = device;
  }

  /** Resolves when the kernel has forgotten; never rejects: what the kernel does not know, it need not forget. */
  invalidate(what: Invalidation): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#waiting.set(keyOf(what), what);
    if (this.#running === null) {
      this.#running = this.#run();
      return this.#running;
    }
    // A batch is being written and may not hold this one any more: wait for the one after it.
    this.#next ??= this.#running.then(() => this.#continue());
    return this.#next;
  }

  #continue(): Promise<void> {
    this.#next = null;
    this.#running = this.#run();
    return this.#running;
  }

  async #run(): Promise<void> {
    // Leaves the caller's turn first, so that all it asks for goes in one batch.
    await Promise.resolve();
    const messages = [...this.#waiting.values()].map(encodeInvalidation);
    this.#waiting.clear();
    for (let from = 0; from < messages.length && !this.#isClosed; from += batchMax) {
      await this.#device.notify(Buffer.concat(messages.slice(from, from + batchMax)));
    }
    if (this.#next === null) this.#running = null;
  }

  close(): void {
    this.#isClosed = true;
    this.#waiting.clear();
  }
}
