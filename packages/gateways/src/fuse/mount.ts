/**
 * Mounts a Vfs: mount(2), the device, the session, read-ahead, in this order; and takes all of it down again.
 *
 * Invariant: a failure on the way leaves neither a mount nor an open descriptor behind.
 */
import { realpath } from "node:fs/promises";
import type { Clock, Logger } from "@cfs/core";
import { FuseDevice, fuseMount, fuseUnmount, type FuseMountOptions, type FuseUnmountOptions } from "@cfs/native";
import type { Vfs } from "@cfs/vfs";
import type { SessionOptions } from "./options.ts";
import { setReadAhead } from "./readahead.ts";
import { FuseSession } from "./session.ts";

export interface MountParts {
  readonly vfs: Vfs;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface MountOptions extends Omit<FuseMountOptions, "readOnly" | "defaultPermissions">, SessionOptions {
  /** Read-ahead in bytes, set through sysfs; needs root, otherwise the kernel's 128 KiB stay. Default 8 MiB; 0 leaves it alone. */
  readonly readAheadBytes?: number;
}

export interface FuseMount {
  readonly mountpoint: string;
  readonly session: FuseSession;
  /** BUSY while files are open, unless lazy. Resolves when the session has ended too (not when lazy). */
  unmount(options?: FuseUnmountOptions): Promise<void>;
}

export async function mountFuse(parts: MountParts, options: MountOptions): Promise<FuseMount> {
  const mountpoint = await realpath(options.mountpoint);
  const fd = await fuseMount({ ...options, mountpoint });
  let session: FuseSession | null = null;
  try {
    const device = new FuseDevice({ fd, ownsFd: true, maxWriteBytes: options.maxWriteBytes ?? 1 << 20 });
    session = new FuseSession({ vfs: parts.vfs, device, clock: parts.clock, logger: parts.logger }, options);
    session.start();
    await session.ready;
  } catch (reason) {
    session?.close();
    await fuseUnmount(mountpoint, { lazy: true, ...methodOf(options) }).catch((second: unknown) => {
      parts.logger.warn("a failed mount could not be removed", { mountpoint, reason: String(second) });
    });
    throw reason;
  }
  const readAheadBytes = options.readAheadBytes ?? 8 << 20;
  if (readAheadBytes > 0) await setReadAhead(mountpoint, readAheadBytes, parts.logger);
  const mounted = session;
  return {
    mountpoint,
    session: mounted,
    async unmount(how: FuseUnmountOptions = {}): Promise<void> {
      await fuseUnmount(mountpoint, { ...methodOf(options), ...how });
      if (how.lazy !== true) await mounted.ended;
    },
  };
}

function methodOf(options: MountOptions): Pick<FuseUnmountOptions, "method"> {
  return options.method === undefined ? {} : { method: options.method };
}
