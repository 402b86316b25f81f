/**
 * Who uses a mount that cannot be unmounted: processes whose working directory, root, program or open files are on it, mounts on top of it, and
 * loop devices backed by it.
 *
 * Read from /proc and /sys as far as this user may see them. Invariant: neither the mount nor a lock of another process is waited for. Links in
 * /proc are texts that the kernel makes from names it has in memory; `maps`, `cmdline` and `environ` would wait for the memory of a process that hangs.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { MountEntry } from "@cfs/core";

export interface MountUser {
  readonly pid: number;
  readonly program: string;
  /** One of the paths that it uses. */
  readonly path: string;
  /** How it uses that path. */
  readonly how: "working directory" | "root directory" | "program" | "open file";
}

function textOf(read: () => string): string | null {
  try {
    return read();
  } catch {
    // Gone meanwhile, or another user's: not seen, so not named.
    return null;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    // As in textOf.
    return [];
  }
}

function isInside(path: string | null, mountpoint: string): path is string {
  return path !== null && (path === mountpoint || path.startsWith(`${mountpoint}/`));
}

const links = [
  ["cwd", "working directory"],
  ["root", "root directory"],
  ["exe", "program"],
] as const;

function useOf(pid: string, mountpoint: string): Pick<MountUser, "path" | "how"> | null {
  for (const [name, how] of links) {
    const path = textOf(() => readlinkSync(`/proc/${pid}/${name}`));
    if (isInside(path, mountpoint)) return { path, how };
  }
  for (const descriptor of namesIn(`/proc/${pid}/fd`)) {
    const path = textOf(() => readlinkSync(`/proc/${pid}/fd/${descriptor}`));
    if (isInside(path, mountpoint)) return { path, how: "open file" };
  }
  return null;
}

/** The processes, in the order of their ids; this one is left out. */
export function mountUsers(mountpoint: string): MountUser[] {
  const users: MountUser[] = [];
  for (const pid of namesIn("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const use = useOf(pid, mountpoint);
    if (use === null) continue;
    const program = textOf(() => readFileSync(`/proc/${pid}/comm`, "utf8").trim()) ?? "a process that ended";
    users.push({ pid: Number(pid), program, ...use });
  }
  return users.toSorted((one, other) => one.pid - other.pid);
}

function loopDevices(mountpoint: string): string[] {
  return namesIn("/sys/block").flatMap((device) => {
    if (!device.startsWith("loop")) return [];
    const file = textOf(() => readFileSync(`/sys/block/${device}/loop/backing_file`, "utf8").trim());
    return isInside(file, mountpoint) ? [`/dev/${device} (its file is ${file})`] : [];
  });
}

/** Users that are named one by one. */
const namedMax = 5;

/** "it is used by bash (process 12, working directory /mnt/x)"; says so where nobody can be seen. */
export function whoUses(mountpoint: string, mounts: readonly MountEntry[]): string {
  const users = mountUsers(mountpoint).map(({ program, pid, how, path }) => `${program} (process ${pid}, ${how} ${path})`);
  const above = mounts.filter((mount) => mount.mountpoint !== mountpoint && isInside(mount.mountpoint, mountpoint));
  const all = [...users, ...above.map((mount) => `a mount of ${mount.type} at ${mount.mountpoint}`), ...loopDevices(mountpoint)];
  if (all.length === 0) return "who uses it cannot be seen from here: another user's process, a mapped file, or a process in a container";
  const more = all.length - namedMax;
  return `it is used by ${all.slice(0, namedMax).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
