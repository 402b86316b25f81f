/**
 * FUSE at the kernel's border: mounting, and a /dev/fuse descriptor served in batches by the event loop of this thread.
 *
 * Memory is shared once, as one ArrayBuffer: lengths of the requests of a batch, reply descriptors, reply arena, request slots
 * (drawn in native/crates/fuse/src/region.rs). Requests are valid only during `onBatch`.
 * Invariant: after `close` no handler runs, `flush` fails each reply with EBADF, and the memory stays readable.
 */
import { assert, CfsError } from "@cfs/core";
import { loadAddon } from "./binding.ts";

/** `automatic`: mount(2) as root, otherwise the system's fusermount3. */
export type FuseMountMethod = "automatic" | "direct" | "helper";

export interface FuseMountOptions {
  /** What /proc/mounts names as the device. No comma when the helper mounts. */
  readonly source: string;
  /** An existing directory (or file, for a root of that kind). */
  readonly mountpoint: string;
  /** Shown as "fuse.SUBTYPE". Default "cfs". */
  readonly subtype?: string;
  readonly readOnly?: boolean;
  /** Others than the mounting user may enter. Default true as root, else false (needs user_allow_other in /etc/fuse.conf). */
  readonly allowOther?: boolean;
  /** The kernel checks mode bits and ACLs. Default true; the session relies on it. */
  readonly defaultPermissions?: boolean;
  /** Default true. */
  readonly noDev?: boolean;
  /** Default true. */
  readonly noSuid?: boolean;
  /** Default false. */
  readonly noExec?: boolean;
  /** st_mode of the root; only its type counts. Default a directory. */
  readonly rootMode?: number;
  /** Who owns the mount. Default: this process's. */
  readonly uid?: number;
  readonly gid?: number;
  /** The longest READ in bytes; 0 (default) lets the negotiated maximum rule. */
  readonly maxReadBytes?: number;
  readonly method?: FuseMountMethod;
}

export interface FuseUnmountOptions {
  /** Leave the tree now, end when the last user does (MNT_DETACH). Default false: BUSY while files are open. */
  readonly lazy?: boolean;
  /** Fail what waits instead of waiting for it (MNT_FORCE). Default false. */
  readonly force?: boolean;
  readonly method?: FuseMountMethod;
}

export interface FuseDeviceOptions {
  /** An open /dev/fuse descriptor; it is made non-blocking. */
  readonly fd: number;
  /** Close the descriptor with the device. False when a supervisor owns it. */
  readonly ownsFd: boolean;
  /** Requests per batch, 1 to 1024. Default 64. */
  readonly slotCount?: number;
  /** The largest WRITE that will be negotiated; a smaller slot makes the kernel refuse the read. Default 1 MiB. */
  readonly maxWriteBytes?: number;
  /** Replies per flush. Default 256. */
  readonly replyCount?: number;
  /** Room for the heads of the replies of one flush. Default 1 MiB. */
  readonly arenaBytes?: number;
}

export interface FuseDeviceHandlers {
  /** `count` requests lie in slots 0 to count-1. They may be overwritten once this returns. Must not throw. */
  onBatch(count: number): void;
  /** The kernel let go: ENODEV (19) after an unmount, otherwise what went wrong. Once; the device is paused, not closed. */
  onEnd(errno: number): void;
}

/** Bytes from the start of `memory`. */
export interface FuseLayout {
  readonly lengthsOffset: number;
  readonly descriptorsOffset: number;
  readonly replyCount: number;
  readonly arenaOffset: number;
  readonly arenaBytes: number;
  readonly slotCount: number;
  readonly slotBytes: number;
  readonly requestsOffset: number;
  readonly requestBytesMax: number;
  readonly headBytes: number;
}

interface Outcome {
  readonly fd: number;
  readonly errno: number;
  readonly message: string;
}

interface DeviceBinding {
  layout(): FuseLayout;
  memory(): ArrayBuffer;
  start(): boolean;
  pause(): void;
  flush(count: number, parts: readonly Uint8Array[]): number;
  notify(messages: Uint8Array): Promise<readonly number[]>;
  close(): void;
}

interface FuseAddon {
  fuseMount(options: Required<FuseMountOptions>): Promise<Outcome>;
  fuseUnmount(options: Required<FuseUnmountOptions> & { readonly mountpoint: string }): Promise<Outcome>;
  readonly FuseDeviceBinding: new (options: Required<FuseDeviceOptions>, onBatch: (count: number, errno: number) => void) => DeviceBinding;
}

let loaded: FuseAddon | null = null;

function addon(): FuseAddon {
  loaded ??= loadAddon() as FuseAddon;
  return loaded;
}

/** Mounts and gives the descriptor, which the caller owns. Runs off the event loop. */
export async function fuseMount(options: FuseMountOptions): Promise<number> {
  const root = process.geteuid?.() === 0;
  const { fd, errno, message } = await addon().fuseMount({
    source: options.source,
    mountpoint: options.mountpoint,
    subtype: options.subtype ?? "cfs",
    readOnly: options.readOnly ?? false,
    allowOther: options.allowOther ?? root,
    defaultPermissions: options.defaultPermissions ?? true,
    noDev: options.noDev ?? true,
    noSuid: options.noSuid ?? true,
    noExec: options.noExec ?? false,
    rootMode: options.rootMode ?? 0o040755,
    uid: options.uid ?? process.geteuid?.() ?? 0,
    gid: options.gid ?? process.getegid?.() ?? 0,
    maxReadBytes: options.maxReadBytes ?? 0,
    method: options.method ?? "automatic",
  });
  if (errno !== 0) throw CfsError.fromErrno(errno, message, { details: { errno, mountpoint: options.mountpoint } });
  return fd;
}

/** Unmounts. Runs off the event loop, because the kernel first writes back what this process may have to take. */
export async function fuseUnmount(mountpoint: string, options: FuseUnmountOptions = {}): Promise<void> {
  const { lazy = false, force = false, method = "automatic" } = options;
  const { errno, message } = await addon().fuseUnmount({ mountpoint, lazy, force, method });
  if (errno !== 0) throw CfsError.fromErrno(errno, message, { details: { errno, mountpoint } });
}

/** Requests and replies of one mount. Made on the thread whose event loop shall serve it. */
export class FuseDevice {
  readonly memory: ArrayBuffer;
  readonly layout: FuseLayout;
  readonly #binding: DeviceBinding;
  #handlers: FuseDeviceHandlers | null = null;
  #isClosed = false;

  constructor(options: FuseDeviceOptions) {
    const { fd, ownsFd, slotCount = 64, maxWriteBytes = 1 << 20, replyCount = 256, arenaBytes = 1 << 20 } = options;
    assert(slotCount >= 1 && slotCount <= 1024, "a FUSE device has 1 to 1024 slots");
    const complete = { fd, ownsFd, slotCount, maxWriteBytes, replyCount, arenaBytes };
    try {
      this.#binding = new (addon().FuseDeviceBinding)(complete, (count, errno) => this.#onBatch(count, errno));
    } catch (cause) {
      throw new CfsError("IO", `FUSE device on descriptor ${fd}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
    this.layout = this.#binding.layout();
    this.memory = this.#binding.memory();
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  #onBatch(count: number, errno: number): void {
    const handlers = this.#handlers;
    if (handlers === null) return;
    if (count !== 0) handlers.onBatch(count);
    if (errno !== 0 && !this.#isClosed) {
      this.#handlers = null;
      handlers.onEnd(errno);
    }
  }

  /** Begins to serve. Once. */
  start(handlers: FuseDeviceHandlers): void {
    assert(this.#handlers === null, "a FUSE device is started once");
    this.#handlers = handlers;
    this.resume();
  }

  /** Requests wait in the kernel until `resume`. */
  pause(): void {
    this.#binding.pause();
  }

  resume(): void {
    if (this.#isClosed || !this.#binding.start()) throw new CfsError("BAD_HANDLE", "the FUSE device is closed");
  }

  /** Writes the first `count` described replies; gives how many failed (each descriptor's fourth word is 0 or the errno). */
  flush(count: number, parts: readonly Uint8Array[]): number {
    return this.#binding.flush(count, parts);
  }

  /**
   * Writes notifications, each beginning with its length, on a pool thread; resolves to 0 or an errno for each, in order.
   * The kernel may take page and inode locks that only the reply to another request frees: so never wait for this promise
   * before answering a request, and keep one call in flight at a time, or they could use up the pool.
   */
  async notify(messages: Uint8Array): Promise<readonly number[]> {
    return this.#binding.notify(messages);
  }

  /** Idempotent, and allowed at any moment, also inside a handler. */
  close(): void {
    this.#isClosed = true;
    this.#handlers = null;
    this.#binding.close();
  }
}
