/**
 * `cfs status`: the cfs mounts of this machine, and the servers behind them. Answers within seconds whatever waits elsewhere: mounts are asked
 * over their own socket, servers over the admin service, all at once.
 */
import { type MountAnswer, type MountStatus, queryMount } from "@cfs/client";
import { CfsError, listCfsMounts, shellWord, shownText } from "@cfs/core";
import type { StatusReply } from "@cfs/rpc";
import type { Command } from "commander";
import { defaultServer, serverOption, withAdmin } from "../admin-client.ts";
import { describeFailure, exitCodes, type Failure } from "../exit.ts";
import { formatBytes, formatCount, formatDuration } from "../format.ts";
import type { Ui } from "../output.ts";
import { type Address, formatAddress, parseAddress } from "../parse.ts";
import type { Ended } from "../program.ts";
import { detailsOf, printServerLine } from "../server-status.ts";
import { newCommand } from "./command.ts";

interface MountReport {
  readonly mountpoint: string;
  readonly server: string;
  /** As the kernel has it now: `mount -o remount` may have changed it. */
  readonly readOnly: boolean;
  /** Whether its process answers; another user's is hidden, which says nothing about how it is. */
  readonly answer: MountAnswer["kind"];
  /** Null when it does not answer. */
  readonly status: MountStatus | null;
  /** The user whose mount it is; null unless it is hidden. */
  readonly ownerUid: number | null;
}

interface ServerReport {
  readonly server: string;
  readonly status: StatusReply | null;
  readonly error: Pick<Failure, "code" | "message"> | null;
}

async function mountReports(): Promise<MountReport[]> {
  return Promise.all(
    listCfsMounts().map(async (mount) => {
      const answer = await queryMount(mount);
      return {
        mountpoint: mount.mountpoint,
        server: mount.source,
        readOnly: mount.options.split(",").includes("ro"),
        answer: answer.kind,
        status: answer.kind === "answers" ? answer.status : null,
        ownerUid: answer.kind === "hidden" ? answer.ownerUid : null,
      };
    }),
  );
}

async function serverReport(address: Address, ui: Ui): Promise<ServerReport> {
  const server = formatAddress(address);
  try {
    return { server, status: await withAdmin(address, ui, (admin) => admin.status()), error: null };
  } catch (reason) {
    ui.signal.throwIfAborted();
    if (!(reason instanceof CfsError)) throw reason;
    const failure = describeFailure(reason);
    return { server, status: null, error: { code: failure?.code ?? reason.code, message: failure?.message ?? reason.message } };
  }
}

/** The address of a mount's source; null where another program wrote it. */
function addressOf(source: string): Address | null {
  try {
    return parseAddress(source);
  } catch {
    // A mount of type fuse.cfs whose source is no address is shown with its name only.
    return null;
  }
}

/** The servers that matter: the one that was named, else those of the mounts, else the one of this machine. */
function serversToAsk(named: Address | undefined, mounts: readonly MountReport[]): Address[] {
  if (named !== undefined) return [named];
  const byText = new Map<string, Address>();
  for (const { server } of mounts) {
    const address = addressOf(server);
    if (address !== null) byText.set(formatAddress(address), address);
  }
  return byText.size === 0 ? [defaultServer] : [...byText.values()];
}

/** Why nothing is known of a mount, and what to do. */
function printSilentMount({ mountpoint, server, answer, ownerUid }: MountReport, ui: Ui): void {
  const line = (word: string, rest: string): void => ui.print(`mount ${shownText(mountpoint)}  ${word}  of ${server}; ${rest}`);
  if (answer === "hidden") {
    const owner = ownerUid === 0 ? "root" : `user ${ownerUid}`;
    line(ui.paint("dim", "not visible"), `it is a mount of ${owner}, who can see how it is (another user may see only the server)`);
  } else if (answer === "silent") line(ui.paint("red", "no answer"), "its process is there and does not answer; try again in a moment");
  else line(ui.paint("red", "dead"), `its process has ended; take it away: cfs umount --lazy ${shellWord(mountpoint)}`);
}

function printMount(mount: MountReport, ui: Ui): void {
  const { mountpoint, server, readOnly, status } = mount;
  if (status === null) return printSilentMount(mount, ui);
  const word = status.state === "connected" ? ui.paint("green", status.state) : ui.paint("yellow", status.state);
  const parts = [`of ${server}`, readOnly ? "read only" : "read and write", `${status.cacheMode} cache`];
  if (status.undurableCommands > 0)
    parts.push(`${formatCount(status.undurableCommands)} changes (${formatBytes(status.undurableBytes)}) not on the server yet`);
  parts.push(`${formatBytes(status.residentBytes)} memory`, `process ${status.pid}`);
  ui.print(`mount ${shownText(mountpoint)}  ${word}  ${parts.join(", ")}`);
  if (status.state === "waiting") {
    ui.print(
      `  ${ui.paint("yellow", "!")} the server has been away for ${formatDuration(status.waitingSeconds)}: ${status.reason.replace(/^[A-Z_]+: /, "")}; operations wait and go on when it returns`,
    );
  } else if (status.reason !== "") ui.print(`  ${ui.paint("red", "!")} ${status.reason}`);
}

function printServer({ server, status, error }: ServerReport, ui: Ui): void {
  if (status !== null) printServerLine(server, status, ui);
  else ui.print(`server ${server}  ${ui.paint("red", "no answer")}  ${error?.message ?? ""}`);
}

export async function runStatus(named: Address | undefined, ui: Ui): Promise<boolean> {
  const mounts = await mountReports();
  const servers = await Promise.all(serversToAsk(named, mounts).map((address) => serverReport(address, ui)));
  ui.result({ mounts, servers }, () => {
    if (mounts.length === 0) ui.print("no cfs mounts on this machine");
    for (const mount of mounts) printMount(mount, ui);
    for (const server of servers) printServer(server, ui);
  });
  return (
    mounts.every(({ answer, status }) => answer === "hidden" || status?.state === "connected") &&
    servers.every(({ status }) => status !== null && detailsOf(status).health.level === "ok")
  );
}

export function statusCommand(ui: Ui, ended: Ended): Command {
  const option = serverOption();
  return newCommand({
    name: "status",
    description: "show the mounts of this machine and their servers",
    examples: [
      ["cfs status", "all mounts here, and the servers behind them"],
      ["cfs status --server 10.0.0.5:9400", "that server instead"],
      ["cfs status --json", "every figure, for scripts; exit code 3 when something is not healthy"],
    ],
  })
    .addOption(option)
    .action(async (flags: { readonly server: Address }, command: Command) => {
      const isNamed = command.getOptionValueSource("server") !== "default";
      const isHealthy = await runStatus(isNamed ? flags.server : undefined, ui);
      if (!isHealthy) ended.exitCode = exitCodes.unhealthy;
    });
}
