/** Which process stands in the way: who listens on a port, read from /proc as far as this user may see it. */
import { existsSync, readFileSync, readdirSync, readlinkSync } from "node:fs";

function processIds(): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
}

/** What a link in /proc points at; null when the process is gone or another user's. */
function linkOf(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

function descriptorsOf(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((descriptor) => `/proc/${pid}/fd/${descriptor}`);
  } catch {
    return [];
  }
}

/** "bash (process 12, in /srv)", or null for a process that ended meanwhile. */
function describe(pid: string): string | null {
  const folder = linkOf(`/proc/${pid}/cwd`);
  try {
    const name = readFileSync(`/proc/${pid}/comm`, "utf8").trim();
    return `${name} (process ${pid}${folder === null ? "" : `, in ${folder}`})`;
  } catch {
    return null;
  }
}

/** The socket inode that listens on the port, from /proc/net/tcp and tcp6 (state 0A is LISTEN, the port is hexadecimal). */
export function listenerInode(table: string, port: number): string | null {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  for (const line of table.split("\n")) {
    const fields = line.trim().split(/\s+/);
    if (fields[1]?.endsWith(wanted) === true && fields[3] === "0A") return fields[9] ?? null;
  }
  return null;
}

export function listenerName(port: number): string {
  const tables = ["/proc/net/tcp", "/proc/net/tcp6"].filter((path) => existsSync(path));
  const inode = tables.map((path) => listenerInode(readFileSync(path, "latin1"), port)).find((found) => found !== null);
  const owner =
    inode === undefined ? undefined : processIds().find((pid) => descriptorsOf(pid).some((path) => linkOf(path) === `socket:[${inode}]`));
  return (owner === undefined ? null : describe(owner)) ?? "another program";
}
