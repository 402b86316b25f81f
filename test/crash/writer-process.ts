/** A writer as the tests see it: started on a directory, watched by its manifest, stopped or killed, and its manifest turned into a model. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { scriptArguments } from "@cfs/testkit";
import { parseManifest } from "./operations.ts";
import type { ManifestEntry } from "./operations.ts";
import type { TreeModel } from "./tree-model.ts";

const script = fileURLToPath(new URL("./writer.ts", import.meta.url));
/** How long an application may stand still before the test gives up on it. Generous: machines are noisy. */
const progressTimeoutMs = 60_000;

export interface WriterOptions {
  /** The directory to work in. */
  readonly root: string;
  /** A file outside of the mount. */
  readonly manifest: string;
  readonly seed: number;
  readonly environment: NodeJS.ProcessEnv;
}

/** How a writer ended. */
export interface WriterEnd {
  readonly entries: readonly ManifestEntry[];
  /** The operation that failed, or null. */
  readonly failed: ManifestEntry | null;
}

export class WriterProcess {
  readonly #child: ChildProcess;
  readonly #manifest: string;
  readonly #ended: Promise<readonly unknown[]>;

  private constructor(child: ChildProcess, manifest: string) {
    this.#child = child;
    this.#manifest = manifest;
    this.#ended = once(child, "exit");
  }

  static start({ root, manifest, seed, environment }: WriterOptions): WriterProcess {
    writeFileSync(manifest, "");
    const child = spawn(process.execPath, scriptArguments(script, [root, manifest, String(seed)]), {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      env: environment,
    });
    return new WriterProcess(child, manifest);
  }

  get #isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when `count` more lines are in the manifest, or the writer has ended. */
  async untilProgress(count: number): Promise<void> {
    const lines = (): number => readFileSync(this.#manifest, "latin1").split("\n").length;
    const wanted = lines() + count;
    let sizeBytes = -1;
    let changedAt = performance.now();
    while (this.#isRunning && lines() < wanted) {
      const { size } = statSync(this.#manifest);
      if (size !== sizeBytes) [sizeBytes, changedAt] = [size, performance.now()];
      if (performance.now() - changedAt > progressTimeoutMs) {
        throw new Error(`the application has stood still for ${progressTimeoutMs / 1000} s at ${JSON.stringify(this.entries().at(-1))}`);
      }
      await setTimeout(10);
    }
  }

  entries(): ManifestEntry[] {
    return parseManifest(readFileSync(this.#manifest, "utf8"));
  }

  #end(): WriterEnd {
    const entries = this.entries();
    return { entries, failed: entries.find(({ state }) => state === "failed") ?? null };
  }

  /** Lets the running operation finish. Throws when it does not within a minute. */
  async stop(): Promise<WriterEnd> {
    if (this.#isRunning) this.#child.send("stop");
    const tooLate = new AbortController();
    const late = setTimeout(progressTimeoutMs, "late", { signal: tooLate.signal }).catch(() => "ended");
    if ((await Promise.race([this.#ended, late])) === "late")
      throw new Error(`the application hangs in ${JSON.stringify(this.entries().at(-1))}`);
    tooLate.abort();
    return this.#end();
  }

  /** SIGKILL, whatever it does. */
  async kill(): Promise<WriterEnd> {
    if (this.#isRunning) this.#child.kill("SIGKILL");
    await this.#ended;
    return this.#end();
  }

  /** Resolves when it has ended by itself. */
  async ended(): Promise<WriterEnd> {
    await this.#ended;
    return this.#end();
  }
}

/** Brings a model to what a manifest says. Only what is done is acknowledged; what failed or was running may have happened in part. */
export function replay(model: TreeModel, entries: readonly ManifestEntry[]): void {
  for (const { operation, state } of entries) model.apply(operation, state === "done");
}
