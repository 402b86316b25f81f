/**
 * `npm run quickstart`: one cfs server on loopback over six drive folders, mounted; and `-- stop`, `-- destroy`.
 *
 * Running it again is always safe: what already runs is kept, what died is started, a mount whose process died is replaced.
 * A run that is interrupted takes back what it started. Data is deleted by `destroy` only.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, realpathSync, rmSync, rmdirSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { type Order, parseOrder, usage } from "./quickstart/arguments.ts";
import { mountAt, mountHealth } from "./quickstart/mounts.ts";
import { Problem } from "./quickstart/problem.ts";
import { listenerName } from "./quickstart/processes.ts";
import { isListening, runCfs, spawnServer, stopServer, waitUntilReady } from "./quickstart/server.ts";
import { defaultPort, isRunning, type State, StateFile } from "./quickstart/state.ts";

const root = realpathSync(fileURLToPath(new URL("../", import.meta.url)));
const stateFile = new StateFile(root);
const interrupted = new AbortController();

/** As a person would write it: relative inside the checkout. */
function shown(path: string): string {
  const inside = relative(root, path);
  return inside.startsWith("..") ? path : `./${inside}`;
}

/** Makes sure that a server runs; returns the state, and whether this run started it. */
async function ensureServer(wantedPort: number | null): Promise<{ state: State; isNew: boolean }> {
  const before = stateFile.read();
  if (isRunning(before.server)) {
    if (wantedPort !== null && wantedPort !== before.port) {
      throw new Problem(`the server already runs on port ${before.port}`, "Stop it first: npm run quickstart -- stop");
    }
    console.log(`cfs is already running on 127.0.0.1:${before.port} (process ${before.server.pid})`);
    return { state: before, isNew: false };
  }
  const port = wantedPort ?? before.port;
  if (await isListening(port)) {
    throw new Problem(
      `port ${port} is in use by ${listenerName(port)}`,
      `Stop that program, or use another port: npm run quickstart -- --port ${port + 100}`,
    );
  }
  console.log(`starting cfs on 127.0.0.1:${port} over six drives in ${shown(stateFile.folder)}`);
  const parts = { root, folder: stateFile.folder, port };
  const server = spawnServer(parts);
  const state: State = { ...before, port, server };
  stateFile.write(state);
  try {
    await waitUntilReady(server, parts, interrupted.signal);
  } catch (reason) {
    await stopServer(server);
    stateFile.write({ ...state, server: null });
    throw reason;
  }
  return { state, isNew: true };
}

/** Takes a mount away whose process is dead; the lazy way, because nothing answers there any more. */
function detach(mountPoint: string): void {
  for (const [program, flag] of [
    ["fusermount3", "-uz"],
    ["umount", "-l"],
  ] as const) {
    spawnSync(program, [flag, mountPoint], { stdio: "ignore" });
    if (mountAt(mountPoint) === null) return;
  }
  throw new Problem(`the dead mount at ${mountPoint} cannot be taken away`, `Run as root: umount -l ${mountPoint}`);
}

/** Refuses what no mount could use, and makes the folder when it is missing. Looks at names only: a cfs mount may not answer now. */
function checkMountPoint(mountPoint: string): void {
  const choose = "Choose another: npm run quickstart -- MOUNTPOINT";
  const mount = mountAt(mountPoint);
  if (mount?.type === "fuse.cfs") return;
  if (mount !== null) throw new Problem(`${mountPoint} is already a mount point (${mount.type} from ${mount.source})`, choose);
  try {
    mkdirSync(mountPoint, { recursive: true });
    if (readdirSync(mountPoint).length > 0) throw new Problem(`${mountPoint} is not empty; mounting would hide what is in it`, choose);
  } catch (reason) {
    if (reason instanceof Problem) throw reason;
    const isFile = existsSync(mountPoint) && !statSync(mountPoint).isDirectory();
    throw new Problem(isFile ? `${mountPoint} is not a directory` : `${mountPoint} cannot be used: ${(reason as Error).message}`, choose);
  }
}

/** True when cfs is mounted there and answers. A mount whose process died is taken away. The server runs by now, so a living mount answers. */
function isMounted(mountPoint: string): boolean {
  if (mountAt(mountPoint) === null) return false;
  if (mountHealth(mountPoint, 10_000) === "answers") return true;
  console.log(`the mount at ${shown(mountPoint)} is left over from a process that died; replacing it`);
  detach(mountPoint);
  return false;
}

function next(mountPoint: string, port: number): string {
  const at = shown(mountPoint);
  const server = port === defaultPort ? "" : ` --server 127.0.0.1:${port}`;
  const lines = [
    [`cp -r packages ${at}/`, "it is an ordinary file system"],
    [`./cfs bench ${at}`, "how fast it is"],
    [`./cfs status${server}`, "how it is"],
    ["./cfs --help", "what else there is"],
  ] as const;
  const width = Math.max(...lines.map(([command]) => command.length));
  return [
    `\ncfs is mounted at ${at}. Try:`,
    ...lines.map(([command, meaning]) => `  ${command.padEnd(width)}   ${meaning}`),
    "To stop: npm run quickstart -- stop (the data stays; npm run quickstart starts again)",
  ].join("\n");
}

async function start(order: Extract<Order, { verb: "start" }>): Promise<number> {
  checkMountPoint(order.mountPoint);
  const { state, isNew } = await ensureServer(order.port);
  const address = `127.0.0.1:${state.port}`;
  try {
    stateFile.write({ ...state, mountPoints: [...new Set([...state.mountPoints, order.mountPoint])] });
    if (!isMounted(order.mountPoint) && (await runCfs(root, ["mount", "--server", address, order.mountPoint])) !== 0) {
      throw new Problem(
        `mounting at ${order.mountPoint} failed; the message above says why`,
        `The server's log: ${join(stateFile.folder, "server.log")}`,
      );
    }
    interrupted.signal.throwIfAborted();
  } catch (reason) {
    if (isNew) await stop();
    throw reason;
  }
  await runCfs(root, ["status", ...(state.port === defaultPort ? [] : ["--server", address])]);
  console.log(next(order.mountPoint, state.port));
  return 0;
}

async function unmount(mountPoint: string): Promise<void> {
  const mount = mountAt(mountPoint);
  if (mount?.type !== "fuse.cfs") return;
  if (mountHealth(mountPoint, 3_000) !== "answers") return detach(mountPoint);
  if ((await runCfs(root, ["umount", mountPoint])) !== 0 || mountAt(mountPoint) !== null) {
    throw new Problem(
      `${shown(mountPoint)} cannot be unmounted; the message above says who uses it`,
      "Leave that folder in every shell, close the files in it, then run the same command again.",
    );
  }
  console.log(`unmounted ${shown(mountPoint)}`);
}

/** Unmounts and stops what runs; the data stays. */
async function stop(): Promise<void> {
  const state = stateFile.read();
  for (const mountPoint of state.mountPoints) await unmount(mountPoint);
  if (isRunning(state.server)) {
    const how = await stopServer(state.server);
    console.log(how === "stopped" ? "cfs is stopped" : "cfs did not stop in time and was killed; nothing acknowledged is lost");
  } else console.log("cfs is not running");
  if (existsSync(stateFile.folder)) stateFile.write({ port: state.port, server: null, mountPoints: [] });
}

async function destroy(): Promise<void> {
  await stop();
  if (!existsSync(stateFile.folder)) return console.log("there is no data to delete");
  const size = spawnSync("du", ["-sh", stateFile.folder], { encoding: "utf8" }).stdout.split("\t")[0] ?? "?";
  console.log(`deleting ${shown(stateFile.folder)} with the six drives and all that was stored in them (${size})`);
  rmSync(stateFile.folder, { recursive: true });
  const mountPoint = join(root, "mnt");
  if (existsSync(mountPoint) && mountAt(mountPoint) === null && readdirSync(mountPoint).length === 0) rmdirSync(mountPoint);
}

async function main(): Promise<number> {
  const order = parseOrder(process.argv.slice(2), root, process.env["INIT_CWD"] ?? process.cwd());
  switch (order.verb) {
    case "help":
      console.log(usage);
      return 0;
    case "start":
      return start(order);
    case "stop":
      await stop();
      return 0;
    case "destroy":
      await destroy();
      return 0;
  }
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => interrupted.abort());
try {
  process.exitCode = await main();
} catch (reason) {
  if (interrupted.signal.aborted) {
    console.error("\nquickstart: interrupted; what this run had started is stopped again");
    process.exitCode = 130;
  } else if (reason instanceof Problem) {
    console.error(`\nquickstart: ${reason.message}\n  ${reason.cure}`);
    process.exitCode = 1;
  } else throw reason;
}
