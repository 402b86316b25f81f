/**
 * `cfs server start`: runs one storage node in the foreground until SIGINT or SIGTERM.
 *
 * Flags go before the configuration file. Log lines (one JSON object each) go to stderr. What is said while the server starts is held back
 * for a moment, so that a start that fails is one line: the reason.
 */
import { CfsError, type ErrorCode, logLevels, type LogLevel } from "@cfs/core";
import type { RunningServer, ServerOptions } from "@cfs/server";
import { flushCompileCache } from "node:module";
import { resolve } from "node:path";
import type { Command } from "commander";
import { type ConfigSchema, list, readConfig, single } from "../config-file.ts";
import type { Ui } from "../output.ts";
import { type Address, defaultPort, flag, formatAddress, parseAddress, parsePath, repeatedFlag, UsageError } from "../parse.ts";
import { StartLog } from "../start-log.ts";
import { newCommand } from "./command.ts";

export function parseLogLevel(text: string): LogLevel {
  const level = logLevels.find((name) => name === text);
  if (level === undefined) throw new UsageError(`"${text}" is not a log level; expected ${logLevels.join(", ")}`);
  return level;
}

function parseSwitch(text: string): boolean {
  if (text === "true" || text === "false") return text === "true";
  throw new UsageError(`"${text}" is neither true nor false`);
}

function parseDirectory(text: string): string {
  if (text === "") throw new UsageError("a drive is named by its directory, not by an empty text");
  return resolve(text);
}

const configSchema = {
  data: list(parseDirectory),
  listen: single(parseAddress),
  http: single(parseAddress),
  log: single(parseLogLevel),
  degraded: single(parseSwitch),
} satisfies ConfigSchema;

export interface ServerStartFlags {
  readonly data?: readonly string[];
  readonly listen?: Address;
  readonly http?: Address;
  readonly log?: LogLevel;
  readonly degraded?: true;
  readonly config?: string;
}

const listenDefault: Address = { host: "127.0.0.1", port: defaultPort };

/** What the flags and the file say together; throws UsageError where that is nothing to start with. */
export function serverOptions(flags: ServerStartFlags): ServerOptions {
  const file = flags.config === undefined ? {} : readConfig(flags.config, configSchema);
  const data = flags.data ?? file.data ?? [];
  if (data.length === 0) throw new UsageError("no drive is named; give each with --data DIR, or as `data:` in the file of --config");
  const twice = data.find((path, index) => data.indexOf(path) !== index);
  if (twice !== undefined) throw new UsageError(`${twice} is named twice; each drive is one directory`);
  return {
    data,
    listen: flags.listen ?? file.listen ?? listenDefault,
    http: flags.http ?? file.http ?? null,
    logLevel: flags.log ?? file.log ?? "info",
    degraded: flags.degraded ?? file.degraded ?? false,
  };
}

/** Resolves when the server stopped by itself or by a signal; rejects with what it could not go on from. */
async function untilEnded(server: RunningServer, signal: AbortSignal): Promise<void> {
  const stop = Promise.withResolvers<void>();
  // Timers of a server do not keep the process alive, and the last thing that closing waits for may be one.
  const alive = setInterval(() => undefined, 60_000);
  const onAbort = (): void => void server.close().then(stop.resolve, stop.reject);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    await Promise.race([server.ended, stop.promise]);
    await server.close();
  } finally {
    signal.removeEventListener("abort", onAbort);
    clearInterval(alive);
  }
}

/** No server runs while one starts, so the usual next steps (`cfs admin …`) are none here. */
const startSteps: Partial<Readonly<Record<ErrorCode, string>>> = {
  CORRUPT: "look after what it names, or start without the drives that cannot be used: --degraded",
  IO: "look after what it names, or start without the drives that cannot be used: --degraded",
  NO_SPACE: "free space on the file system that it names, or name another",
  READ_ONLY: "mount the file system that it names for writing",
};

export function startError(reason: unknown, { degraded }: Pick<ServerOptions, "degraded">): unknown {
  if (!(reason instanceof CfsError) || "next" in reason.details) return reason;
  const step = startSteps[reason.code];
  if (step === undefined) return reason;
  const next = degraded && step.includes("--degraded") ? "look after what it names; with --log debug a start says more" : step;
  const message = reason.message.slice(reason.code.length + 2);
  return new CfsError(reason.code, message, { cause: reason, details: { ...reason.details, next } });
}

export async function runServerStart(options: ServerOptions, ui: Ui): Promise<void> {
  // Loaded here, because no other command needs a server's parts.
  const { startServer } = await import("@cfs/server");
  const log = new StartLog((line) => ui.stderr.write(line));
  let server: RunningServer;
  try {
    server = await startServer(options, (line) => log.write(line));
  } catch (reason) {
    log.fail();
    throw startError(reason, options);
  }
  log.open();
  // At once, because a server may be killed at any moment, and then its next start would compile everything again.
  flushCompileCache();
  const address = formatAddress(server.address);
  const http = server.httpAddress === null ? null : formatAddress(server.httpAddress);
  const { count: driveCount, missing: missingDrives } = server.drives;
  ui.result({ address, http, pid: process.pid, data: options.data, driveCount, missingDrives }, () => {
    const missing = missingDrives.length === 0 ? "" : `, ${missingDrives.length} missing (${missingDrives.join(", ")})`;
    const metrics = http === null ? "" : `; metrics on http://${http}/metrics`;
    ui.print(`cfs serves on ${address} with ${driveCount} drive${driveCount === 1 ? "" : "s"}${missing}${metrics}`);
  });
  await untilEnded(server, ui.signal);
}

function startCommand(ui: Ui): Command {
  return newCommand({
    name: "start",
    description: "run a storage node in the foreground; new, empty drives make a new file system",
    examples: [
      ["cfs server start --data /srv/d1 --data /srv/d2 --listen 0.0.0.0:9400", "two drives, for this network"],
      ["cfs server start --config /etc/cfs.yaml", "flags from a file; a flag on the command line goes before it"],
      ["cfs server start --data /srv/d1 --http 127.0.0.1:9401", "with /metrics and /healthz"],
    ],
  })
    .option("--data <dir>", "the directory of one drive; repeat it for each", repeatedFlag(parseDirectory))
    .option("--listen <address>", `where clients connect, HOST:PORT (default: ${formatAddress(listenDefault)})`, flag(parseAddress))
    .option("--http <address>", "where /metrics and /healthz are served (default: nowhere)", flag(parseAddress))
    .option("--config <file>", "YAML with the long flags as keys: data, listen, http, log, degraded", flag(parsePath))
    .option("--log <level>", `how much is logged: ${logLevels.join(", ")} (default: info)`, flag(parseLogLevel))
    .option("--degraded", "start without the drives that cannot be used")
    .action(async (flags: ServerStartFlags) => runServerStart(serverOptions(flags), ui));
}

export function serverCommand(ui: Ui): Command {
  return newCommand({
    name: "server",
    description: "run a storage node",
    examples: [["cfs server start --data /srv/d1 --data /srv/d2", "in the foreground, until Ctrl-C"]],
  }).addCommand(startCommand(ui));
}
