/**
 * Runs everyday programs in a directory of the file system under test, as a person would from a shell.
 *
 * Every command has a time limit and its own process group, which is killed with it, so that a program that hangs is a failed test and
 * leaves nothing behind. A command that fails throws with its last words.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

export interface ShellOptions {
  /** Default 120,000. */
  readonly timeoutMs?: number;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** The names of those programs that are not installed. */
export function missingPrograms(names: readonly string[]): readonly string[] {
  return names.filter((name) => spawnSync("sh", ["-c", `command -v "$1"`, "sh", name]).status !== 0);
}

/** The machine's environment (its certificates, its registries), but not the habits of the person who runs the tests. */
function plainEnvironment(home: string, added: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(GIT_(?!SSL)|VIM|TAR_|RSYNC_|npm_(?!config_))/.test(name));
  return { ...Object.fromEntries(kept), HOME: home, LC_ALL: "C", TZ: "UTC", GIT_CONFIG_NOSYSTEM: "1", ...added };
}

export class Workplace implements Disposable {
  /** The directory on the file system under test. */
  readonly path: string;
  /** A place on the machine's own disk, for originals and copies. */
  readonly outside: string;

  constructor(testedDirectory: string, outsideDirectory: string, name: string) {
    this.path = join(testedDirectory, name);
    this.outside = join(outsideDirectory, name);
    mkdirSync(this.path);
    mkdirSync(this.outside);
  }

  /** Runs a script with `set -eu -o pipefail` in `path`; $OUTSIDE names the other place. Its standard output, trimmed. */
  async shell(script: string, { timeoutMs = 120_000, env = {} }: ShellOptions = {}): Promise<string> {
    const child = spawn("bash", ["-euo", "pipefail", "-c", script], {
      cwd: this.path,
      env: plainEnvironment(this.outside, { OUTSIDE: this.outside, ...env }),
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let output = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors = (errors + text).slice(-4000)));
    const limit = AbortSignal.timeout(timeoutMs);
    const killGroup = (): void => {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    };
    limit.addEventListener("abort", killGroup);
    const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
    limit.removeEventListener("abort", killGroup);
    if (code === 0) return output.trim();
    throw new Error(
      `${limit.aborted ? `no end after ${timeoutMs} ms` : `ended with ${signal ?? code}`}: ${script}\n${output.slice(-2000)}${errors}`,
    );
  }

  [Symbol.dispose](): void {
    for (const path of [this.path, this.outside]) rmSync(path, { recursive: true, force: true, maxRetries: 3 });
  }
}
