/**
 * `cfs admin drive list|add|remove|replace`. Removing and replacing begin at the server at once and go on there whether or not somebody watches;
 * the command follows with a progress bar until everything that lay on the drive is elsewhere.
 */
import { CfsError, shownText } from "@cfs/core";
import type { Drive } from "@cfs/rpc";
import type { MoveDetails } from "@cfs/server";
import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import { type AdminClient, type ServerFlags, serverOption, withAdmin } from "../admin-client.ts";
import { exitCodes } from "../exit.ts";
import { formatCount } from "../format.ts";
import type { Ui } from "../output.ts";
import { Progress } from "../progress.ts";
import { flag, parsePath } from "../parse.ts";
import type { Ended } from "../program.ts";
import { detailsOf, driveWord, printDrives, shortId } from "../server-status.ts";
import { newCommand } from "./command.ts";

const pollMs = 500;

export async function runDriveList({ server }: ServerFlags, ui: Ui): Promise<boolean> {
  const { drives } = await withAdmin(server, ui, (admin) => admin.driveList());
  ui.result({ drives }, () => printDrives(drives, ui));
  return drives.every(({ state }) => state === "DRIVE_ONLINE");
}

function driveIn(reply: { readonly drive: Drive | null }, what: string): Drive {
  if (reply.drive === null)
    throw new CfsError("CORRUPT", `the server's answer to ${what} names no drive; compare \`cfs version\` on both sides`);
  return reply.drive;
}

interface Follow {
  readonly label: string;
  readonly driveId: string;
}

/** A server that has nothing to do for so many looks in a row will not get further by itself. */
const idleLooksMax = 4;

/** Watches the server until the move of the drive is done. False when fragments are left that could not be moved. */
async function follow(admin: AdminClient, { label, driveId }: Follow, ui: Ui): Promise<boolean> {
  let progress: Progress | null = null;
  let totalFragments = 0;
  let idleLooks = 0;
  try {
    for (;;) {
      const { repair } = detailsOf(await admin.status());
      const move: MoveDetails | undefined = repair.moves.find((one) => one.driveId === driveId);
      if (move === undefined) return true;
      if (progress === null || move.totalFragments !== totalFragments) {
        progress?.end();
        totalFragments = move.totalFragments;
        progress = new Progress(ui, { label, unit: "items", total: totalFragments });
      }
      progress.update(totalFragments - move.remainingFragments);
      idleLooks = repair.queued === 0 && repair.problems.length + repair.homeless > 0 ? idleLooks + 1 : 0;
      if (idleLooks >= idleLooksMax) {
        progress.end();
        if (repair.homeless > 0)
          ui.note(`  ${formatCount(repair.homeless)} fragments have no drive to go to; add one: cfs admin drive add DIR`);
        for (const problem of repair.problems.slice(0, 10)) ui.note(`  ${problem}`);
        return false;
      }
      await delay(pollMs, undefined, { signal: ui.signal });
    }
  } finally {
    progress?.end();
  }
}

interface WaitFlags extends ServerFlags {
  readonly wait: boolean;
}

interface RemoveFlags extends WaitFlags {
  readonly force?: true;
}

export async function runDriveAdd(path: string, { server }: ServerFlags, ui: Ui): Promise<void> {
  const drive = driveIn(await withAdmin(server, ui, (admin) => admin.driveAdd(resolve(path))), "drive add");
  ui.result({ drive }, () => {
    ui.print(`drive ${shortId(drive.driveId)} (${drive.path}) is ${driveWord(drive.state)}; new data goes there from now on`);
  });
}

export async function runDriveRemove(name: string, flags: RemoveFlags, ui: Ui): Promise<boolean> {
  return withAdmin(flags.server, ui, async (admin) => {
    const drive = driveIn(await admin.driveRemove(name, flags.force ?? false), "drive remove");
    const isMoved = flags.wait ? await follow(admin, { label: `moving off ${shortId(drive.driveId)}`, driveId: drive.driveId }, ui) : true;
    ui.result({ drive, isDone: flags.wait && isMoved }, () => {
      if (!flags.wait) ui.print(`drive ${shortId(drive.driveId)} (${drive.path}) is being emptied; see: cfs admin status`);
      else if (isMoved) ui.print(`drive ${shortId(drive.driveId)} (${drive.path}) holds nothing any more; it can be taken away`);
      else ui.print(`drive ${shortId(drive.driveId)} (${drive.path}): not everything could be moved; it stays as it is`);
    });
    return isMoved;
  });
}

export async function runDriveReplace(name: string, newPath: string, flags: WaitFlags, ui: Ui): Promise<boolean> {
  return withAdmin(flags.server, ui, async (admin) => {
    const before = await admin.status();
    const movesBefore = new Set(detailsOf(before).repair.moves.map(({ driveId }) => driveId));
    const drive = driveIn(await admin.driveReplace(name, resolve(newPath)), "drive replace");
    const { moves } = detailsOf(await admin.status()).repair;
    // None where the drive itself came back, or where everything was moved in the meantime.
    const old = moves.find(({ driveId, kind }) => kind === "replace" && !movesBefore.has(driveId));
    const isBack = before.drives.some(({ driveId }) => driveId === drive.driveId);
    const fragments = old?.totalFragments ?? 0;
    const isDone =
      flags.wait && old !== undefined
        ? await follow(admin, { label: `rebuilding onto ${shortId(drive.driveId)}`, driveId: old.driveId }, ui)
        : true;
    ui.result({ drive, fragments, isBack, isDone: flags.wait && isDone }, () => {
      ui.print(`drive ${shortId(drive.driveId)} (${shownText(drive.path)}) ${replaceEnd({ isBack, isDone, fragments, wait: flags.wait })}`);
    });
    return isDone;
  });
}

interface ReplaceEnd {
  /** The directory held the drive that was to be replaced. */
  readonly isBack: boolean;
  readonly isDone: boolean;
  readonly fragments: number;
  readonly wait: boolean;
}

function replaceEnd({ isBack, isDone, fragments, wait }: ReplaceEnd): string {
  if (isBack) return "is the same drive as before and is back in service; what it missed is repaired";
  if (!wait) return "takes over; see: cfs admin status";
  if (!isDone) return "has taken over, but not every fragment could be rebuilt; see: cfs admin status";
  return `has taken over; everything is redundant again${fragments === 0 ? "" : ` (${formatCount(fragments)} fragments)`}`;
}

const driveArgument = "the first digits of its id, or its directory, as in `cfs admin drive list`";

function listCommand(ui: Ui, ended: Ended): Command {
  return newCommand({
    name: "list",
    description: "show the drives, their state and their errors",
    examples: [["cfs admin drive list", "exit code 3 when one is not ok"]],
  })
    .addOption(serverOption())
    .action(async (flags: ServerFlags) => {
      if (!(await runDriveList(flags, ui))) ended.exitCode = exitCodes.unhealthy;
    });
}

function addCommand(ui: Ui): Command {
  return newCommand({
    name: "add",
    description: "take an empty directory of the server into use as a drive",
    examples: [["cfs admin drive add /srv/d7", "also name it with --data at the next start of the server"]],
  })
    .argument("<dir>", "an empty directory on the server's machine", flag(parsePath))
    .addOption(serverOption())
    .action(async (dir: string, flags: ServerFlags) => runDriveAdd(dir, flags, ui));
}

function removeCommand(ui: Ui, ended: Ended): Command {
  return newCommand({
    name: "remove",
    description: "move everything off a drive and forget it",
    examples: [
      ["cfs admin drive remove 3f2a91bc", "waits until it is empty, with progress"],
      ["cfs admin drive remove /srv/d3 --force", "forget it now: what it held is rebuilt from the others"],
    ],
  })
    .argument("<drive>", driveArgument)
    .addOption(serverOption())
    .option("--force", "without moving its data off first, or although too few drives remain for the redundancy")
    .option("--no-wait", "return at once; the server goes on")
    .action(async (drive: string, flags: RemoveFlags) => {
      if (!(await runDriveRemove(drive, flags, ui))) ended.exitCode = exitCodes.unhealthy;
    });
}

function replaceCommand(ui: Ui, ended: Ended): Command {
  return newCommand({
    name: "replace",
    description: "put an empty directory in the place of a drive and rebuild onto it",
    examples: [["cfs admin drive replace 3f2a91bc /srv/new", "waits until everything is redundant again, with progress"]],
  })
    .argument("<drive>", driveArgument)
    .argument("<dir>", "an empty directory on the server's machine", flag(parsePath))
    .addOption(serverOption())
    .option("--no-wait", "return at once; the server goes on")
    .action(async (drive: string, dir: string, flags: WaitFlags) => {
      if (!(await runDriveReplace(drive, dir, flags, ui))) ended.exitCode = exitCodes.unhealthy;
    });
}

export function adminDriveCommand(ui: Ui, ended: Ended): Command {
  return newCommand({
    name: "drive",
    description: "list, add, remove and replace drives",
    examples: [
      ["cfs admin drive list", "the drives and their state"],
      ["cfs admin drive replace 3f2a91bc /srv/new", "after one failed"],
    ],
  })
    .addCommand(listCommand(ui, ended))
    .addCommand(addCommand(ui))
    .addCommand(removeCommand(ui, ended))
    .addCommand(replaceCommand(ui, ended));
}
