/** Starts test/fuse/serve.ts at a fresh directory, and takes everything away again whatever happened. Needs root and /dev/fuse. */
import { execFile, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { accessSync, constants, mkdtempSync, readFileSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** Null when mounts work here, otherwise why not. */
export function whyNoFuse(): string | null {
  if (process.geteuid?.() !== 0) return "not root";
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
    return null;
  } catch {
    return "no /dev/fuse";
  }
}

export class Served implements AsyncDisposable {
  readonly mountpoint: string;
  readonly process: ChildProcess;
  readonly exited: Promise<number | null>;

  private constructor(mountpoint: string, child: ChildProcess) {
    this.mountpoint = mountpoint;
    this.process = child;
    this.exited = new Promise((resolve) => child.once("exit", (code) => resolve(code)));
  }

  static async start(options: Readonly<Record<string, unknown>> = {}): Promise<Served> {
    const mountpoint = mkdtempSync(join(tmpdir(), "cfs-fuse-"));
    const script = fileURLToPath(new URL("./serve.ts", import.meta.url));
    const child = spawn(process.execPath, ["--conditions=cfs-source", script, mountpoint, JSON.stringify(options)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const served = new Served(mountpoint, child);
    const ready = new Promise<boolean>((resolve) => child.stdout?.once("data", () => resolve(true)));
    if (await Promise.race([ready, served.exited.then(() => false)])) return served;
    await served[Symbol.asyncDispose]();
    throw new Error("the file system did not start");
  }

  /** Runs a shell command with the mountpoint as its directory; its standard output, trimmed. Rejects when it fails. */
  async shell(command: string): Promise<string> {
    const { stdout } = await promisify(execFile)("bash", ["-ec", command], { cwd: this.mountpoint, maxBuffer: 1 << 24 });
    return stdout.trim();
  }

  get isMounted(): boolean {
    return readFileSync("/proc/self/mountinfo", "utf8").includes(` ${this.mountpoint} `);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill("SIGKILL");
    await this.exited;
    if (this.isMounted) spawnSync("umount", ["-l", this.mountpoint]);
    rmdirSync(this.mountpoint);
  }
}
