/**
 * Builds a small C program for a test, once for each content of its sources.
 *
 * Tests of system calls that Node does not offer are written in C without dependencies; `cc` is all they need. The program lies in the
 * machine's temporary directory under a name that holds the hash of sources and flags, so that a second run starts at once.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

const flags: readonly string[] = ["-std=gnu17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"];

export interface CProgram {
  readonly name: string;
  /** Absolute; headers are named too, so that a change in one builds anew. */
  readonly sources: readonly string[];
}

function hashOf({ sources }: CProgram): string {
  const hash = createHash("sha256").update(flags.join(" "));
  for (const source of sources) hash.update(`\0${basename(source)}\0`).update(readFileSync(source));
  return hash.digest("hex").slice(0, 16);
}

/** The path of the program, built when it is not there yet. Throws with the compiler's words. */
export function buildC(program: CProgram): string {
  const folder = join(tmpdir(), `cfs-test-programs-${process.getuid?.() ?? 0}`);
  const path = join(folder, `${program.name}-${hashOf(program)}`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const workshop = mkdtempSync(join(folder, "build-"));
  try {
    const output = join(workshop, program.name);
    const sources = program.sources.filter((source) => source.endsWith(".c"));
    const done = spawnSync(process.env["CC"] ?? "cc", [...flags, "-o", output, ...sources], { encoding: "utf8" });
    if (done.error !== undefined) throw new Error(`no C compiler (apt-get install gcc libc6-dev): ${done.error.message}`);
    if (done.status !== 0) throw new Error(`${program.name} does not compile:\n${done.stderr}`);
    renameSync(output, path);
    return path;
  } finally {
    rmSync(workshop, { recursive: true, force: true });
  }
}
