/** How the state of a server is shown to people: one line for `cfs status`, every figure for `cfs admin status`. */
import { shownText } from "@cfs/core";
import type { Drive, DriveState, StatusReply } from "@cfs/rpc";
import type { HealthLevel, NodeDetails } from "@cfs/server";
import { formatBytes, formatCount, formatDuration } from "./format.ts";
import type { Style, Ui } from "./output.ts";

/** The server's own record behind the JSON tree; both ends are of one release. */
export function detailsOf(status: StatusReply): NodeDetails {
  return status.details as unknown as NodeDetails;
}

const styleByLevel: Readonly<Record<HealthLevel, Style>> = { ok: "green", warning: "yellow", critical: "red" };

const wordByState: Readonly<Record<DriveState, string>> = {
  DRIVE_UNKNOWN: "unknown",
  DRIVE_ONLINE: "ok",
  DRIVE_DRAINING: "draining",
  DRIVE_FAILED: "failed",
  DRIVE_MISSING: "missing",
  DRIVE_REBUILDING: "rebuilding",
};

const styleByState: Readonly<Record<DriveState, Style>> = {
  DRIVE_UNKNOWN: "yellow",
  DRIVE_ONLINE: "green",
  DRIVE_DRAINING: "yellow",
  DRIVE_FAILED: "red",
  DRIVE_MISSING: "red",
  DRIVE_REBUILDING: "yellow",
};

/** Enough of an id to name a drive with. */
export function shortId(driveId: string): string {
  return driveId.slice(0, 8);
}

export function driveWord(state: DriveState): string {
  return wordByState[state];
}

export function printDrives(drives: readonly Drive[], ui: Ui): void {
  const right = (title: string) => ({ title, align: "right" as const });
  const columns = [
    { title: "drive" },
    { title: "state" },
    // Of the file system under the drive, whoever uses it; what cfs uses of it is in the table of space.
    right("fs used"),
    right("fs size"),
    right("errors"),
    { title: "path" },
    { title: "" },
  ];
  ui.table(
    columns,
    drives.map((drive) => [
      shortId(drive.driveId),
      ui.paint(styleByState[drive.state], driveWord(drive.state)),
      // A drive that is not there cannot be measured, which is not the same as empty.
      ...(drive.capacityBytes === 0 ? ["?", "?"] : [formatBytes(drive.usedBytes), formatBytes(drive.capacityBytes)]),
      formatCount(drive.readErrors + drive.writeErrors + drive.checksumErrors),
      shownText(drive.path),
      shownText(drive.reason),
    ]),
  );
}

export function printWarnings(status: StatusReply, ui: Ui): void {
  for (const warning of status.warnings) ui.print(`  ${ui.paint("yellow", "!")} ${shownText(warning)}`);
}

/** Health, room and who is connected, in a line or two. */
export function printServerLine(address: string, status: StatusReply, ui: Ui): void {
  const { health, recode } = detailsOf(status);
  const { capacityBytes, availableBytes, drives, connections, uptimeMs } = status;
  const online = drives.filter(({ state }) => state === "DRIVE_ONLINE").length;
  const parts = [
    ui.paint(styleByLevel[health.level], health.level),
    `${online} of ${drives.length} drives`,
    `${formatBytes(availableBytes)} free of ${formatBytes(capacityBytes)}`,
    `${connections} mount${connections === 1 ? "" : "s"}`,
    `up ${formatDuration(uptimeMs / 1000)}`,
    ...(recode.waiting > 0 ? [`${formatCount(recode.waiting)} segments to code again`] : []),
  ];
  ui.print(`server ${address}  ${parts.join("  ")}`);
  printWarnings(status, ui);
}

/** Where every byte of the drives is; the lines add up to the total. */
function printSpace(details: NodeDetails, ui: Ui): void {
  const { space } = details;
  const row = (name: string, bytes: number, meaning: string): string[] => [name, formatBytes(bytes), formatCount(bytes), meaning];
  ui.table(
    [{ title: "space" }, { title: "", align: "right" }, { title: "bytes", align: "right" }, { title: "" }],
    [
      row("live", space.liveBytes, "stored data that files point at"),
      row("pending delete", space.deadBytes, "stored data that no file points at any more"),
      row("parity", space.parityBytes, "parity, checksums, tables and padding of fragments"),
      row(
        "journal",
        space.journalBytes,
        `log on all its drives; ${formatBytes(space.journalLiveBytes)} of file data wait in it to be packed`,
      ),
      row("state", space.stateBytes, "copies of the namespace"),
      row("other", space.otherBytes, "what was deleted a moment ago, and files that are not of cfs"),
      ...(space.absentBytes === 0 ? [] : [row("absent", -space.absentBytes, "counted above, but on drives that are missing")]),
      row("prepared", space.preparedBytes, "set aside for the next fragments and journal files, and ballast; counts as free"),
      row("reserve", space.reserveBytes, "kept free for deletes, compaction and rebuild"),
      row("free", space.freeBytes, "for new data and its parity"),
      row("total", space.rawTotalBytes, "of the file systems under the drives"),
    ],
  );
}

function rows(status: StatusReply, details: NodeDetails): string[][] {
  const { journal, packing, segments, repair, recode, reads, layout, memory, io } = details;
  return [
    ["cluster", status.clusterId],
    ["node", `${status.nodeId}, cfs ${status.version}, up ${formatDuration(status.uptimeMs / 1000)}`],
    ["files", `${formatCount(details.inodes)} inodes; ${formatBytes(status.availableBytes)} of user data still fit`],
    ["redundancy", layout === null ? "none: no healthy drive" : `new data is stored ${layout.k}+${layout.m}`],
    ["not packed yet", `${formatBytes(packing.waitingBytes)} in ${formatCount(packing.waitingWrites)} writes; ${formatCount(packing.segmentsPacked)} segments packed since the start`],
    ["journal", `${formatCount(journal.files)} files on ${journal.copies} drives, entry ${formatCount(journal.lastIndex)}, ${formatCount(journal.lastIndex - journal.durableIndex)} entries under way (${formatBytes(journal.pendingBytes)})`],
    ["segments", `${formatCount(segments.count)}, ${formatCount(segments.dead)} to be dropped, ${formatCount(segments.compacted)} compacted, ${formatCount(segments.dropped)} dropped since the start`],
    ["repair", `${formatCount(repair.queued)} fragments wait, ${formatCount(repair.repaired)} repaired (${formatBytes(repair.repairedBytes)})`],
    ["coded again", `${formatCount(recode.recoded)} segments of fewer drives (${formatBytes(recode.bytes)}) since the start; ${formatCount(recode.waiting)} wait`],
    ["reads", `${formatBytes(reads.bytes)}; ${formatCount(reads.degraded)} rebuilt from parity, ${formatCount(reads.checksumErrors)} wrong checksums`],
    ["memory", `${formatBytes(memory.residentBytes)} resident`],
    ["drives by", io.description],
  ]; // prettier-ignore
}

export function printStatus(address: string, status: StatusReply, ui: Ui): void {
  const details = detailsOf(status);
  ui.print(`server ${address}  ${ui.paint(styleByLevel[details.health.level], details.health.level)}`);
  printWarnings(status, ui);
  for (const note of details.health.notes) ui.print(`  ${note}`);
  ui.print();
  ui.table([{ title: "" }, { title: "" }], rows(status, details));
  ui.print();
  printDrives(status.drives, ui);
  ui.print();
  printSpace(details, ui);
  if (details.sessions.length === 0) return;
  ui.print();
  ui.table(
    [{ title: "mount" }, { title: "state" }, { title: "from" }, { title: "since" }],
    details.sessions.map(({ host, mountpoint, isConnected, peer, connectedMs }) => [
      shownText(`${host}:${mountpoint}`),
      isConnected ? "connected" : "away",
      peer,
      formatDuration(connectedMs / 1000),
    ]),
  );
}
