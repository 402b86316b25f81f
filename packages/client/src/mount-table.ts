/** What the kernel says is mounted: /proc/self/mounts, proc(5). */
import { readFileSync } from "node:fs";

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
