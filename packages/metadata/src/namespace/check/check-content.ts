/** Regions, their runs, what inodes say of them, zombies, and the live counters of journal files. */
import type { InodeNumber } from "@cfs/core";
import { decodeJournalFile, decodeRegion, decodeRuns } from "../content-format.ts";
import { inodeKey, journalFileKey, parseJournalFileKey, parseNumberKey, parseRegionKey, regionKey, runsKey, zombieKey } from "../keys.ts";
import { decodeInode } from "../record-format.ts";
import type { Extent, JournalFileUse, Region } from "../records.ts";
import { regionBytes } from "../records.ts";
import type { CheckRun, ProblemMend } from "./check.ts";
import { inodeMend } from "./check-tree.ts";
import { decodeOr, pagesOf } from "./stream.ts";

/** Regions that one item of a mending command looks at. */
const indexesMax = 4096;

/** Content of one inode number, added up while its regions pass by. */
interface Content {
  readonly ino: InodeNumber;
  allocatedBytes: number;
  /** Where the last byte that is not reserved ends. */
  dataEnd: number;
  readonly runs: { begin: number; end: number }[];
}

function addRegion(run: CheckRun, content: Content, index: number, region: Region, journals: Map<number, JournalFileUse>): void {
  const last = content.runs.at(-1);
  if (last?.end === index) last.end = index + 1;
  else content.runs.push({ begin: index, end: index + 1 });
  if (region.extents.length === 0)
    run.report("region", `${content.ino}/${index}`, "is empty and should not exist", {
      kind: "regions",
      ino: content.ino,
      indexes: [index],
    });
  for (const extent of region.extents) addExtent(run, content, index, extent, journals);
}

function addExtent(run: CheckRun, content: Content, index: number, extent: Extent, journals: Map<number, JournalFileUse>): void {
  const { lengthBytes, source } = extent;
  content.allocatedBytes += lengthBytes;
  if (source.kind === "reserved") {
    run.usage.reservedBytes += lengthBytes;
    return;
  }
  content.dataEnd = index * regionBytes + extent.offsetBytes + lengthBytes;
  if (source.kind !== "journal") return;
  run.usage.journalLiveBytes += lengthBytes;
  const use = journals.get(source.fileId) ?? { fileId: source.fileId, liveExtents: 0, liveBytes: 0 };
  use.liveExtents += 1;
  use.liveBytes += lengthBytes;
  journals.set(source.fileId, use);
}

function compare(run: CheckRun, content: Content): void {
  const { ino } = content;
  const runsBytes = run.kv.get(runsKey(ino));
  const stored = runsBytes === null ? null : decodeOr(run, { key: runsKey(ino), value: runsBytes }, decodeRuns);
  if (JSON.stringify(stored?.runs ?? []) !== JSON.stringify(content.runs))
    run.report("region", ino, "the runs do not say which regions exist", {
      kind: "regions",
      ino,
      indexes: differing(stored?.runs ?? [], content.runs),
    });
  const bytes = run.kv.get(inodeKey(ino));
  const isZombie = run.kv.get(zombieKey(ino)) !== null;
  if (bytes === null) {
    const isGarbage = !run.missing.has(ino);
    if (!isZombie)
      run.report(
        "region",
        ino,
        "content has neither an inode nor is it listed as a zombie",
        ...(isGarbage ? [{ kind: "marks", ino } as const] : []),
      );
    return;
  }
  const inode = decodeOr(run, { key: inodeKey(ino), value: bytes }, decodeInode);
  if (inode === null) return;
  if (isZombie) run.report("zombie", ino, "is listed but has an inode", { kind: "marks", ino });
  if (!inode.hasExtents) run.report("inode", ino, "says that it has no extents, but has", { kind: "marks", ino });
  if (inode.hasExtents && inode.allocatedBytes !== content.allocatedBytes)
    run.report(
      "inode",
      ino,
      `counts ${inode.allocatedBytes} allocated bytes and has ${content.allocatedBytes}`,
      inodeMend(ino, { allocatedDelta: content.allocatedBytes - inode.allocatedBytes }),
    );
  if (content.dataEnd > inode.sizeBytes) run.report("inode", ino, `has data up to ${content.dataEnd}, past its size of ${inode.sizeBytes}`);
}

/** Region numbers that are in one list of runs and not in the other, so many that one command can look at them. */
function differing(a: readonly { begin: number; end: number }[], b: readonly { begin: number; end: number }[]): number[] {
  const found = new Set<number>();
  for (const [runs, others] of [
    [a, b],
    [b, a],
  ] as const) {
    for (const { begin, end } of runs) {
      for (let index = begin; index < end && found.size < indexesMax; index++) {
        if (!others.some((other) => other.begin <= index && index < other.end)) found.add(index);
      }
    }
  }
  return [...found];
}

async function checkRegions(run: CheckRun, journals: Map<number, JournalFileUse>): Promise<void> {
  // Number 0 stands for "none yet": no inode has it.
  let content: Content = { ino: 0 as InodeNumber, allocatedBytes: 0, dataEnd: 0, runs: [] };
  for await (const page of pagesOf(run.kv, "E")) {
    for (const entry of page) {
      const { ino, index } = parseRegionKey(entry.key);
      if (content.ino !== ino) {
        if (content.ino > 0) compare(run, content);
        content = { ino, allocatedBytes: 0, dataEnd: 0, runs: [] };
      }
      const region = decodeOr(run, entry, decodeRegion);
      if (region !== null) addRegion(run, content, index, region, journals);
    }
  }
  if (content.ino > 0) compare(run, content);
}

/** Inodes that claim allocated bytes in extents but have no region at all. */
async function checkEmpty(run: CheckRun): Promise<void> {
  for await (const page of pagesOf(run.kv, "I")) {
    for (const entry of page) {
      const inode = decodeOr(run, entry, decodeInode);
      if (inode === null || !inode.hasExtents || inode.allocatedBytes === 0) continue;
      if (run.kv.get(runsKey(inode.ino)) === null)
        run.report(
          "inode",
          inode.ino,
          `counts ${inode.allocatedBytes} allocated bytes but has no regions`,
          inodeMend(inode.ino, { allocatedDelta: -inode.allocatedBytes }),
        );
    }
  }
}

/** Runs of files that have no region at all; where there is one, `compare` has judged them. */
async function checkRuns(run: CheckRun): Promise<void> {
  for await (const page of pagesOf(run.kv, "M")) {
    for (const entry of page) {
      const ino = parseNumberKey(entry.key) as InodeNumber;
      const runs = decodeOr(run, entry, decodeRuns)?.runs ?? [];
      const [first] = runs;
      if (first === undefined || run.kv.get(regionKey(ino, first.begin)) === null)
        run.report("region", ino, "the runs name regions that do not exist", { kind: "regions", ino, indexes: differing(runs, []) });
    }
  }
}

function journalMend(fileId: number, counted: JournalFileUse, stored: JournalFileUse): ProblemMend {
  const extentsDelta = counted.liveExtents - stored.liveExtents;
  return { kind: "journal", fileId, extentsDelta, bytesDelta: counted.liveBytes - stored.liveBytes };
}

async function checkJournals(run: CheckRun, journals: Map<number, JournalFileUse>): Promise<void> {
  for await (const page of pagesOf(run.kv, "J")) {
    for (const entry of page) {
      const fileId = parseJournalFileKey(entry.key);
      const stored = decodeOr(run, entry, decodeJournalFile);
      const counted = journals.get(fileId) ?? { fileId, liveExtents: 0, liveBytes: 0 };
      if (stored !== null && (stored.liveExtents !== counted.liveExtents || stored.liveBytes !== counted.liveBytes)) {
        run.report(
          "journal",
          fileId,
          `counts ${stored.liveExtents} extents of ${stored.liveBytes} bytes, a recount gives ${counted.liveExtents} of ${counted.liveBytes}`,
          journalMend(fileId, counted, stored),
        );
      } else if (counted.liveExtents === 0) {
        run.report("journal", fileId, "has a counter but no extent points into it", journalMend(fileId, counted, counted));
      }
    }
  }
  for (const [fileId, counted] of journals) {
    if (run.kv.get(journalFileKey(fileId)) !== null) continue;
    run.report(
      "journal",
      fileId,
      "has live extents but no counter",
      journalMend(fileId, counted, { fileId, liveExtents: 0, liveBytes: 0 }),
    );
  }
}

async function checkZombies(run: CheckRun): Promise<void> {
  for await (const page of pagesOf(run.kv, "Z")) {
    for (const entry of page) {
      const ino = parseNumberKey(entry.key) as InodeNumber;
      if (run.kv.get(runsKey(ino)) === null) run.report("zombie", ino, "is listed but has no content", { kind: "marks", ino });
    }
  }
}

export async function checkContent(run: CheckRun): Promise<void> {
  const journals = new Map<number, JournalFileUse>();
  await checkRegions(run, journals);
  await checkRuns(run);
  await checkEmpty(run);
  await checkJournals(run, journals);
  await checkZombies(run);
}
