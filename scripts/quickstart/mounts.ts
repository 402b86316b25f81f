/**
 * What is mounted where, as the kernel says it in /proc/self/mountinfo (proc_pid_mountinfo(5)), and whether a mount answers.
 *
 * Line: id parent major:minor root MOUNTPOINT options [optional fields…] - TYPE SOURCE superoptions; blanks are written as \040.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

export interface Mount {
  readonly mountPoint: string;
  readonly type: string;
  readonly source: string;
}

function unescapeOctal(text: string): string {
  return Buffer.from(
    text.replaceAll(/\\([0-7]{3})/g, (_match, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))),
    "latin1",
  ).toString("utf8");
}

export function parseMountinfo(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of Buffer.from(text, "utf8").toString("latin1").split("\n")) {
    const [front, back] = line.split(" - ");
    const mountPoint = front?.split(" ")[4];
    const [type, source] = back?.split(" ") ?? [];
    if (mountPoint === undefined || type === undefined || source === undefined) continue;
    mounts.push({ mountPoint: unescapeOctal(mountPoint), type, source: unescapeOctal(source) });
  }
  return mounts;
}

/** The mount that is on top at this path, or null where nothing is mounted. */
export function mountAt(path: string): Mount | null {
  const mounts = parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8"));
  return mounts.findLast((mount) => mount.mountPoint === path) ?? null;
}

export type MountHealth = "answers" | "dead" | "silent";

/** Asks in a process of its own, because a stat on a mount without its process can fail, and on one without its server can hang. */
export function mountHealth(path: string, timeoutMs: number): MountHealth {
  const done = spawnSync("stat", ["-f", "--", path], { timeout: timeoutMs, killSignal: "SIGKILL", stdio: "ignore" });
  if (done.status === 0) return "answers";
  return done.status === null ? "silent" : "dead";
}
