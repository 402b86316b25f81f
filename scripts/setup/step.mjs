/**
 * What the set-up steps share: where things are, stamps by content, running a command, one set-up at a time.
 *
 * A stamp is the hash of everything that a step reads; a step is skipped when its stamp is unchanged and its result is there.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const toolchain = join(root, ".toolchain");
const bin = join(toolchain, "node_modules");
export const pinnedNode = join(bin, "node", "bin", "node");
export const pinnedPnpm = join(bin, ".bin", "pnpm");

/** A problem that the person at the keyboard can solve; `cure` says how. */
export class SetupProblem extends Error {
  constructor(message, cure = "", exitCode = 1) {
    super(message);
    this.cure = cure;
    this.exitCode = exitCode;
  }
}

const endingSignals = ["SIGINT", "SIGTERM", "SIGHUP"];

/** The pinned versions, as package.json names them. */
export function pinnedVersions() {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  return { node: manifest.engines.node, pnpm: manifest.engines.pnpm };
}

/** The environment for everything that runs after the set-up: the pinned programs first, cargo's usual place as well. */
export function pinnedEnvironment() {
  const cargoHome = process.env.CARGO_HOME ?? join(process.env.HOME ?? "/", ".cargo");
  const path = [dirname(pinnedNode), join(root, "node_modules", ".bin"), join(bin, ".bin"), process.env.PATH ?? "", join(cargoHome, "bin")];
  const env = { ...process.env, PATH: path.join(delimiter) };
  // npm hands its own settings to the scripts it runs; a child npm or pnpm must read its own.
  for (const key of Object.keys(env)) {
    if (/^npm_(package|lifecycle|config_(local_prefix|prefix|globalconfig|noproxy|user_agent|global_prefix))/i.test(key)) delete env[key];
  }
  return env;
}

export function say(text) {
  console.log(`cfs set-up: ${text}`);
}

/** Asks a process and all that it started to end; says nothing when they have ended already. */
function endGroup(pid, signal) {
  try {
    process.kill(-pid, signal);
  } catch (reason) {
    if (reason.code !== "ESRCH") throw reason;
  }
}

/**
 * Runs a command in the checkout and shows its output; `cure` is what to do when it fails.
 *
 * The command leads a process group, so that a set-up which is told to end takes with it what a compiler driver or a package manager started.
 */
export async function run(command, args, { cure = "", cwd = root, env = pinnedEnvironment() } = {}) {
  const shown = [command.startsWith(root) ? relative(root, command) : command, ...args].join(" ");
  let stoppedBy = null;
  const forward = (signal) => {
    // The second time means: now.
    if (child.pid !== undefined) endGroup(child.pid, stoppedBy === null ? signal : "SIGKILL");
    stoppedBy = signal;
  };
  // Before the command runs: a signal meanwhile is heard after `spawn` has returned, and must not end this process alone.
  for (const signal of endingSignals) process.on(signal, forward);
  const child = spawn(command, args, { cwd, env, stdio: ["ignore", "inherit", "inherit"], detached: true });
  try {
    const [code, signal] = await once(child, "exit");
    if (stoppedBy !== null) {
      endGroup(child.pid, "SIGKILL");
      throw new SetupProblem(`${shown} was interrupted`, "Run the same command again; it goes on where it stopped.", 130);
    }
    if (signal !== null)
      throw new SetupProblem(`${shown} was stopped by ${signal}`, "Run the same command again; it goes on where it stopped.");
    if (code !== 0) throw new SetupProblem(`${shown} failed with exit code ${code}`, cure);
  } catch (reason) {
    if (reason instanceof SetupProblem) throw reason;
    throw new SetupProblem(`cannot run ${shown}: ${reason.message}`, cure);
  } finally {
    for (const signal of endingSignals) process.off(signal, forward);
  }
}

/** First line of a command's output, or null when it cannot run. */
export function probe(command, args) {
  const done = spawnSync(command, args, { cwd: root, env: pinnedEnvironment(), encoding: "utf8" });
  return done.status === 0 ? (done.stdout.split("\n")[0] ?? "") : null;
}

/** Hash of the named files' contents and of `extra`, independent of where the checkout lies. */
export function contentStamp(files, extra = "") {
  const hash = createHash("sha256").update(extra);
  for (const file of [...files].sort()) hash.update(`\0${relative(root, file)}\0`).update(readFileSync(file));
  return hash.digest("hex");
}

/** All files below `folder` whose path matches, without build results. */
export function filesBelow(folder, matches) {
  const found = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name === "node_modules" || entry.name === "target" || entry.name === "dist" || entry.name.startsWith(".")) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...filesBelow(path, matches));
    else if (matches(path)) found.push(path);
  }
  return found;
}

function stampPath(name) {
  return join(toolchain, `${name}.stamp`);
}

export function isStamped(name, stamp) {
  return existsSync(stampPath(name)) && readFileSync(stampPath(name), "utf8") === stamp;
}

export function writeStamp(name, stamp) {
  mkdirSync(toolchain, { recursive: true });
  writeFileSync(`${stampPath(name)}.new`, stamp);
  renameSync(`${stampPath(name)}.new`, stampPath(name));
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (reason) {
    return reason.code === "EPERM";
  }
}

/** Lets one set-up at a time work on this checkout; returns what gives the place free. A lock of a dead process is taken over. */
export function lockCheckout() {
  mkdirSync(toolchain, { recursive: true });
  const path = join(toolchain, "setup.lock");
  const wait = new Int32Array(new SharedArrayBuffer(4));
  for (let said = false; ;) {
    try {
      writeFileSync(path, String(process.pid), { flag: "wx" });
      return () => rmSync(path, { force: true });
    } catch (reason) {
      if (reason.code !== "EEXIST") throw new SetupProblem(`cannot write ${relative(root, path)}: ${reason.message}`);
    }
    const owner = Number(existsSync(path) ? readFileSync(path, "utf8") : 0);
    if (owner !== 0 && !isAlive(owner)) rmSync(path, { force: true });
    else if (!said) {
      say(`another set-up of this checkout is running (process ${owner}); waiting for it`);
      said = true;
    }
    Atomics.wait(wait, 0, 0, 200);
  }
}
