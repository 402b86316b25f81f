/**
 * From inode records to what the kernel sees, from its changes to commands, and when a read changes the access time.
 *
 * Access times (mount(8)): `relatime` when atime is not after mtime and ctime, or a day old; `strict` at every read; `noatime` never.
 */
import type { InodeNumber } from "@cfs/core";
import type { Inode, Moment, SetAttributes } from "@cfs/metadata";
import type { AttributeChange, Attributes, Caller, Time } from "./vfs.ts";

export type AtimeMode = "relatime" | "noatime" | "strict";

/** For commands that the mount makes by itself. */
export const mountCaller: Caller = Object.freeze({ uid: 0, gid: 0, pid: 0, groups: null });

const daySec = 86_400;

export function attributesOf(inode: Inode): Attributes {
  return {
    ino: inode.ino,
    generation: inode.generation,
    kind: inode.kind,
    mode: inode.mode,
    nlink: inode.nlink,
    uid: inode.uid,
    gid: inode.gid,
    rdev: inode.rdev,
    sizeBytes: inode.sizeBytes,
    allocatedBytes: inode.allocatedBytes,
    atime: { sec: inode.atimeSec, nsec: inode.atimeNsec },
    mtime: { sec: inode.mtimeSec, nsec: inode.mtimeNsec },
    ctime: { sec: inode.ctimeSec, nsec: inode.ctimeNsec },
  };
}

function resolveTime(time: Time | "now" | undefined, now: Moment): Moment | null {
  return time === undefined ? null : time === "now" ? now : { sec: time.sec, nsec: time.nsec };
}

/** Times of "now", or from a kernel's write-back cache (which sends ctime too), ask for write access and not for ownership. */
function isTouch({ atime, mtime, ctime }: AttributeChange): boolean {
  return ctime !== undefined || ((atime ?? "now") === "now" && (mtime ?? "now") === "now");
}

export function setAttributesOf(ino: InodeNumber, change: AttributeChange, caller: Caller, now: Moment): SetAttributes {
  return {
    type: "setAttributes",
    ino,
    mode: change.mode ?? null,
    uid: change.uid ?? null,
    gid: change.gid ?? null,
    sizeBytes: change.sizeBytes ?? null,
    atime: resolveTime(change.atime, now),
    mtime: resolveTime(change.mtime, now),
    ctime: resolveTime(change.ctime, now),
    isTouch: isTouch(change),
    killSetId: change.killSetId ?? false,
    caller,
    time: now,
  };
}

/** A new access time and nothing else: ctime stays what it is. */
export function atimeUpdateOf(inode: Inode, now: Moment): SetAttributes {
  const change = { atime: now, ctime: { sec: inode.ctimeSec, nsec: inode.ctimeNsec } };
  return setAttributesOf(inode.ino, change, mountCaller, now);
}

function isAfter(sec: number, nsec: number, otherSec: number, otherNsec: number): boolean {
  return sec > otherSec || (sec === otherSec && nsec > otherNsec);
}

export function isAtimeDue(inode: Inode, mode: AtimeMode, now: Moment): boolean {
  if (mode === "noatime") return false;
  const { atimeSec, atimeNsec } = inode;
  if (mode === "strict") return isAfter(now.sec, now.nsec, atimeSec, atimeNsec);
  if (!isAfter(atimeSec, atimeNsec, inode.mtimeSec, inode.mtimeNsec)) return true;
  return !isAfter(atimeSec, atimeNsec, inode.ctimeSec, inode.ctimeNsec) || now.sec - atimeSec >= daySec;
}
