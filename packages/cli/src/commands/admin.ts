/** `cfs admin`: what an operator asks of a server: status, drives, scrub, shutdown. */
import type { Command } from "commander";
import { type ServerFlags, serverOption, withAdmin } from "../admin-client.ts";
import { exitCodes } from "../exit.ts";
import type { Ui } from "../output.ts";
import { flag, formatAddress, parseDuration } from "../parse.ts";
import type { Ended } from "../program.ts";
import { detailsOf, printStatus } from "../server-status.ts";
import { untilServerEnded } from "../server-end.ts";
import { adminDriveCommand } from "./admin-drive.ts";
import { adminScrubCommand } from "./admin-scrub.ts";
import { newCommand } from "./command.ts";

/** True when the server is healthy. */
export async function runAdminStatus({ server }: ServerFlags, ui: Ui): Promise<boolean> {
  const status = await withAdmin(server, ui, (admin) => admin.status());
  ui.result(status, () => printStatus(formatAddress(server), status, ui));
  return detailsOf(status).health.level === "ok";
}

function adminStatusCommand(ui: Ui, ended: Ended): Command {
  return newCommand({
    name: "status",
    description: "health and why, drives, and where every byte is",
    examples: [
      ["cfs admin status", "exit code 3 when something is not healthy"],
      ["cfs admin status --json | jq .details.space", "capacity to the byte, for a script"],
    ],
  })
    .addOption(serverOption())
    .action(async (flags: ServerFlags) => {
      if (!(await runAdminStatus(flags, ui))) ended.exitCode = exitCodes.unhealthy;
    });
}

interface ShutdownFlags extends ServerFlags {
  readonly grace: number;
  readonly wait: boolean;
}

/** Beyond the grace: what is under way is finished, the state is written to its drives. */
const stopTimeoutMs = 60_000;

export async function runShutdown({ server, grace, wait }: ShutdownFlags, ui: Ui): Promise<void> {
  const reply = await withAdmin(server, ui, (admin) => admin.shutdown(grace));
  if (wait) await untilServerEnded(server, reply, grace + stopTimeoutMs, ui.signal);
  ui.result({ server: formatAddress(server), isStopped: wait }, () => {
    ui.print(`${formatAddress(server)} ${wait ? "has stopped" : "is stopping"}`);
  });
}

function adminShutdownCommand(ui: Ui): Command {
  return newCommand({
    name: "shutdown",
    description: "stop a server; what was acknowledged is on the drives",
    examples: [
      ["cfs admin shutdown", "returns when the server is gone; mounts wait until it is started again"],
      ["cfs admin shutdown --grace 5s --no-wait", "in five seconds, without waiting for it"],
    ],
  })
    .addOption(serverOption())
    .option("--grace <duration>", "how long clients get to finish", flag(parseDuration), 0)
    .option("--no-wait", "return at once, not when the server is gone")
    .action(async (flags: ShutdownFlags) => runShutdown(flags, ui));
}

export function adminCommand(ui: Ui, ended: Ended): Command {
  return newCommand({
    name: "admin",
    description: "look after a server: status, drives, scrub",
    examples: [
      ["cfs admin status", "health, drives, capacity"],
      ["cfs admin drive list", "the drives and their state"],
      ["cfs admin scrub", "read and verify everything"],
    ],
  })
    .addCommand(adminStatusCommand(ui, ended))
    .addCommand(adminDriveCommand(ui, ended))
    .addCommand(adminScrubCommand(ui, ended))
    .addCommand(adminShutdownCommand(ui));
}
