/**
 * What quickstart remembers between its runs: the server's process and the mount points, in .cfs-quickstart/state.json.
 *
 * Paths inside the checkout are kept relative, so that a checkout can be moved while it runs. A process is known by its id together with its start
 * time in clock ticks (field 22 of proc_pid_stat(5)), so that a re-used id is never taken for the server.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { isAbsolute, join, relative, resolve } from "node:path";

export interface ServerProcess {
  readonly pid: number;
  readonly startTicks: number;
}

export interface State {
  readonly port: number;
  readonly server: ServerProcess | null;
  /** Absolute paths. */
  readonly mountPoints: readonly string[];
}

export const defaultPort = 9400;
const empty: State = { port: defaultPort, server: null, mountPoints: [] };

export function processStart(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name in parentheses may itself hold blanks and parentheses; the fields go on after the last one, with field 3.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? null : Number(fields[19]);
  } catch {
    return null;
  }
}

export function isRunning(server: ServerProcess | null): server is ServerProcess {
  return server !== null && processStart(server.pid) === server.startTicks;
}

export class StateFile {
  readonly folder: string;
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
    this.folder = join(root, ".cfs-quickstart");
  }

  get #path(): string {
    return join(this.folder, "state.json");
  }

  read(): State {
    if (!existsSync(this.#path)) return empty;
    try {
      const state = { ...empty, ...(JSON.parse(readFileSync(this.#path, "utf8")) as Partial<State>) };
      return { ...state, mountPoints: state.mountPoints.map((path) => resolve(this.#root, path)) };
    } catch (cause) {
      throw new Error(`${this.#path} cannot be read; if no cfs server runs, delete it`, { cause });
    }
  }

  write(state: State): void {
    mkdirSync(this.folder, { recursive: true });
    const mountPoints = state.mountPoints.map((path) => {
      const inside = relative(this.#root, path);
      return inside.startsWith("..") || isAbsolute(inside) ? path : inside;
    });
    writeFileSync(`${this.#path}.new`, `${JSON.stringify({ ...state, mountPoints }, null, 2)}\n`);
    renameSync(`${this.#path}.new`, this.#path);
  }
}
