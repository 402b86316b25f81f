/** Options of a session: what each means, its unit, default and range. */
import { CfsError } from "@cfs/core";
import type { DeviceLayout } from "./device.ts";
import type { Presented } from "./encode.ts";
import { isDying } from "./interrupts.ts";
import { inHeaderBytes, writeInBytes } from "./protocol.ts";

export interface SessionOptions {
  /** Largest READ and WRITE in bytes, whole pages. Default 1 MiB, the kernel's max_pages_limit; at most what a slot holds. */
  readonly maxWriteBytes?: number;
  /** Largest single READ accepted, in bytes. Default: maxWriteBytes. */
  readonly maxReadBytes?: number;
  /** What INIT offers; the kernel caps it at 128 KiB, `readAheadBytes` of mountFuse raises it afterwards. Default 8 MiB. */
  readonly maxReadaheadBytes?: number;
  /** Background requests (read-ahead, writeback, async direct I/O) in flight, 1 to 65535. Default 128. */
  readonly maxBackground?: number;
  /** Congestion is signalled above this many. Default three quarters of maxBackground. */
  readonly congestionThreshold?: number;
  /** The kernel gathers small writes and owns size and times of files being written. Needs exclusive leases. Default false. */
  readonly writebackCache?: boolean;
  /** Default true. The kernel then reads system.posix_acl_* and checks them. */
  readonly posixAcl?: boolean;
  /** The kernel keeps symlink targets until the inode is invalidated. Default true. */
  readonly cacheSymlinks?: boolean;
  /** Pages go only when Vfs.onInvalidate says so, not when mtime changed. Default true. */
  readonly explicitInvalidation?: boolean;
  /** Changes are refused with EROFS before they reach the Vfs. Default false. */
  readonly readOnly?: boolean;
  /** The mount has default_permissions, so that access(2) need not be asked. Default true. */
  readonly defaultPermissions?: boolean;
  /** Default null: owners as stored. */
  readonly presented?: Presented | null;
  /** Requests with a promised answer before the device is paused. Default 16384. */
  readonly pendingMax?: number;
  /** Whether a thread whose call was interrupted is about to end. Default: as /proc says. */
  readonly isDying?: (threadId: number) => boolean;
  /** Log every request at debug level. Default: the environment variable CFS_FUSE_TRACE is set. */
  readonly trace?: boolean;
}

const pageBytes = 4096;

export function completeOptions(options: SessionOptions, layout: DeviceLayout): Required<SessionOptions> {
  const slotDataBytes = layout.requestBytesMax - inHeaderBytes - writeInBytes;
  const maxWriteBytes = options.maxWriteBytes ?? Math.min(1 << 20, slotDataBytes);
  if (maxWriteBytes % pageBytes !== 0 || maxWriteBytes < pageBytes || maxWriteBytes > slotDataBytes) {
    throw new CfsError("INVALID", `maxWriteBytes ${maxWriteBytes}: whole pages up to the slot's ${slotDataBytes} are allowed`);
  }
  const maxBackground = options.maxBackground ?? 128;
  const congestionThreshold = options.congestionThreshold ?? Math.ceil((maxBackground * 3) / 4);
  if (!isBetween(maxBackground, 1, 65_535) || !isBetween(congestionThreshold, 1, maxBackground)) {
    throw new CfsError(
      "INVALID",
      `maxBackground ${maxBackground}, congestionThreshold ${congestionThreshold}: 1 to 65535, the second not above the first`,
    );
  }
  const pendingMax = options.pendingMax ?? 16_384;
  if (!isBetween(pendingMax, 1, 1 << 20)) throw new CfsError("INVALID", `pendingMax ${pendingMax}: 1 to 1048576 are allowed`);
  return {
    maxWriteBytes,
    maxReadBytes: options.maxReadBytes ?? maxWriteBytes,
    maxReadaheadBytes: options.maxReadaheadBytes ?? 8 << 20,
    maxBackground,
    congestionThreshold,
    writebackCache: options.writebackCache ?? false,
    posixAcl: options.posixAcl ?? true,
    cacheSymlinks: options.cacheSymlinks ?? true,
    explicitInvalidation: options.explicitInvalidation ?? true,
    readOnly: options.readOnly ?? false,
    defaultPermissions: options.defaultPermissions ?? true,
    presented: options.presented ?? null,
    pendingMax,
    isDying: options.isDying ?? isDying,
    trace: options.trace ?? process.env["CFS_FUSE_TRACE"] !== undefined,
  };
}

function isBetween(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}
