/**
 * What the kernel says is mounted (/proc/self/mounts, proc_pid_mounts(5)), and where a path leads without asking any cfs mount.
 *
 * Invariant: nothing here touches a path on a cfs mount. A mount whose process died answers ENOTCONN, and one whose server is away answers not
 * at all: whoever looks there to learn that waits for ever.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { CfsError } from "./errors.ts";

export interface MountEntry {
  readonly source: string;
  readonly mountpoint: string;
  readonly type: string;
  readonly options: string;
}

/** Spaces and the like are written as octal escapes there. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

export function listMounts(text: string = readFileSync("/proc/self/mounts", "utf8")): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split("\n")) {
    const [source, mountpoint, type, options] = line.split(" ");
    if (source !== undefined && mountpoint !== undefined && type !== undefined) {
      entries.push({ source: unescape(source), mountpoint: unescape(mountpoint), type, options: options ?? "" });
    }
  }
  return entries;
}

/** The cfs mounts of this machine. */
export function listCfsMounts(): MountEntry[] {
  return listMounts().filter(({ type }) => type === "fuse.cfs");
}

/** The mount on top at exactly this path; null where nothing is mounted. */
export function mountAt(path: string, mounts: readonly MountEntry[] = listMounts()): MountEntry | null {
  return mounts.findLast(({ mountpoint }) => mountpoint === path) ?? null;
}

export interface Place {
  /** Without symbolic links, as far as no cfs mount had to be asked. */
  readonly path: string;
  /** The cfs mount that the path is on; null when it is on none. */
  readonly mount: MountEntry | null;
}

/** As many as the kernel follows. */
const linksMax = 40;

/** Where an absolute path leads. Names that do not exist are kept as they are. */
export function placeOf(path: string, mounts: readonly MountEntry[] = listMounts()): Place {
  const names = namesOf(path);
  let at = "/";
  let links = 0;
  for (let name = names.shift(); name !== undefined; name = names.shift()) {
    if (name === "..") {
      at = dirname(at);
      continue;
    }
    const next = join(at, name);
    const mount = mountAt(next, mounts);
    if (mount?.type === "fuse.cfs") return { path: join(next, ...names), mount };
    const target = linkAt(next);
    if (target === null) {
      at = next;
      continue;
    }
    links++;
    if (links > linksMax) throw new CfsError("SYMLINK_LOOP", `${path} leads through more than ${linksMax} symbolic links`);
    names.unshift(...namesOf(target));
    if (target.startsWith("/")) at = "/";
  }
  return { path: at, mount: null };
}

function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}

function linkAt(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    // No link, or not there, or not to be read: whoever uses the path hears of it.
    return null;
  }
}
