/**
 * Read-ahead of a mount, raised after INIT: the kernel offers 128 KiB whatever INIT answers, but lets root set more at
 * /sys/class/bdi/MAJOR:MINOR/read_ahead_kb.
 *
 * The device number comes from /proc/self/mountinfo (proc(5)): asking stat(2) would be a request to the mount itself.
 */
import { readFile, writeFile } from "node:fs/promises";
import type { Logger } from "@cfs/core";

/** MAJOR:MINOR of the last mount on `mountpoint`, or null. Fields: id, parent, MAJOR:MINOR, root, mountpoint, … */
export function deviceOfMount(mountinfo: string, mountpoint: string): string | null {
  let found: string | null = null;
  for (const line of mountinfo.split("\n")) {
    const fields = line.split(" ");
    if (fields[4] !== undefined && unescapeOctal(fields[4]) === mountpoint) found = fields[2] ?? null;
  }
  return found;
}

/** Space, tab, newline and backslash appear as \ooo. Bytes above 127 appear as they are. */
function unescapeOctal(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** True when set. Without the right to (not root, no sysfs) it says so in the log and the mount stays as it is. */
export async function setReadAhead(mountpoint: string, bytes: number, logger: Logger): Promise<boolean> {
  try {
    const device = deviceOfMount(await readFile("/proc/self/mountinfo", "utf8"), mountpoint);
    if (device === null) throw new Error(`${mountpoint} is not in /proc/self/mountinfo`);
    await writeFile(`/sys/class/bdi/${device}/read_ahead_kb`, String(Math.floor(bytes / 1024)));
    return true;
  } catch (reason) {
    logger.info("read-ahead of the mount stays at the kernel's default", {
      mountpoint,
      reason: reason instanceof Error ? reason.message : String(reason),
    });
    return false;
  }
}
