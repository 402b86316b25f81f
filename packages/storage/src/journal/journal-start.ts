/**
 * Opening a journal: finds the files on all drives, decides which copies belong together, recovers, repairs, and replays.
 *
 * Invariant: when this returns, every entry that counts is whole on as many drives as an acknowledgement needs, and every copy that is at
 * hand holds all of its file's entries that were looked at. Nothing is deleted here.
 */
import { CfsError } from "@cfs/core";

import type { IoFile } from "../device/io.ts";
import { openDurable } from "../device/io.ts";
import type { JournalDrive } from "./journal-drives.ts";
import { logName } from "./journal-drives.ts";
import type { FileCopy, FileCounts, RecordBytes } from "./journal-file.ts";
import { LogFile, readCopy, readFully, repairCopy, withPages } from "./journal-file.ts";
import type { JournalFiles } from "./journal-files.ts";
import type { FileHeader } from "./journal-format.ts";
import {
  blockBytes,
  decodeHeader,
  decodeRecord,
  encodeHeader,
  encodeRecord,
  isFirstBlockUnused,
  payloadIsWhole,
  recordHeaderBytes,
  roundUp,
} from "./journal-format.ts";
import type { JournalParts, JournalSettings } from "./journal-options.ts";
import type { FileChain, Loss, Recovered } from "./journal-recovery.ts";
import { firstToScan, indexBounds, recover } from "./journal-recovery.ts";
import { scanCopy } from "./journal-scan.ts";
import type { CopyScan } from "./journal-scan.ts";

export interface Started {
  readonly lastIndex: number;
  readonly epoch: number;
  readonly nextFileId: number;
  readonly chains: readonly FileChain[];
  /** Files without an entry that counts. */
  readonly empty: readonly LogFile[];
  readonly loss: Loss | null;
}

export interface ReplayRecord {
  readonly index: number;
  readonly fileId: number;
  readonly recordOffsetBytes: number;
  readonly head: Uint8Array;
  readonly payload: Uint8Array;
}

interface FoundCopy {
  readonly fileId: number;
  readonly copy: FileCopy;
  /** Null when it cannot be read. */
  readonly header: FileHeader | null;
}

/** What is read at once; the longest record and a block fit. */
const windowBytesMax = 4 * 1024 * 1024;

export async function startJournal(
  parts: JournalParts,
  files: JournalFiles,
  drives: readonly JournalDrive[],
  settings: JournalSettings,
  counts: FileCounts,
): Promise<Started> {
  const found: FoundCopy[] = [];
  const failed: { readonly drive: JournalDrive; readonly reason: CfsError }[] = [];
  const looked = await Promise.allSettled(drives.map((drive) => findCopies(parts, files, drive)));
  looked.forEach((result, position) => {
    if (result.status === "fulfilled") found.push(...result.value);
    else failed.push({ drive: drives[position] as JournalDrive, reason: CfsError.from(result.reason) });
  });
  const unknown = failed.find(({ reason }) => reason.code === "NOT_SUPPORTED");
  if (unknown !== undefined) throw unknown.reason;
  const [first] = failed;
  if (first !== undefined && failed.length === drives.length) throw first.reason;
  const all = groupCopies(found, settings);
  for (const file of all) {
    files.files.set(file.fileId, file);
    for (const copy of file.copies) files.strays.delete(copy);
  }
  for (const { drive, reason } of failed) files.startFailed(drive, reason);
  const here = drives.filter((drive) => failed.every((one) => one.drive !== drive));
  checkMembers(all, here, settings);
  await repairHeaders(parts, found, all, files, counts);
  const firsts = await firstIndexes(parts, all);
  const begin = firstToScan(firsts, settings.appliedIndex);
  all.slice(0, begin).forEach((file, position) => {
    file.firstIndex = firsts[position] ?? 0;
    file.lastIndex = settings.appliedIndex;
    file.endBytes = file.header.sizeBytes;
    file.sentBytes = file.endBytes;
  });
  const scanned = await usedFiles(parts, all.slice(begin), firsts.slice(begin));
  const recovered = await scanAll(parts, all, scanned, settings);
  for (const chain of recovered.chains) await settleChain(parts, files, chain, counts);
  const kept = new Set(recovered.chains.map((chain) => chain.file));
  const { lastIndex, chains, loss, voidCount, unreadableCount } = recovered;
  parts.log.info("the journal is open", { lastIndex, files: all.length, voidCount, unreadableCount });
  return {
    lastIndex,
    epoch: Math.max(0, ...all.map((file) => file.header.epoch)) + 1,
    nextFileId: Math.max(0, ...found.map((one) => one.fileId)) + 1,
    chains,
    empty: all.slice(begin).filter((file) => !kept.has(file)),
    loss,
  };
}

async function findCopies(parts: JournalParts, files: JournalFiles, drive: JournalDrive): Promise<FoundCopy[]> {
  const { state, fileIds } = await files.drives.add(drive);
  const found: FoundCopy[] = [];
  for (const fileId of fileIds) {
    const path = `${state.directory}/${logName(fileId)}`;
    const copy: FileCopy = { state, file: await parts.io.open(path, openDurable), path };
    files.strays.add(copy);
    const header = await readHeader(parts, copy.file);
    found.push({ fileId, copy, header: header?.fileId === fileId ? header : null });
  }
  return found;
}

/** Null when it is damaged or cannot be read. */
async function readHeader(parts: JournalParts, file: IoFile): Promise<FileHeader | null> {
  return withPages(parts.io, blockBytes, async (block) => {
    const isRead = await readFully(parts.io, file, block, 0).then(
      () => true,
      () => false,
    );
    return isRead ? decodeHeader(block, parts.crc32c) : null;
  });
}

/**
 * Files by id, each with the copies that are of one use of that id: the newest epoch's. A copy whose header is damaged belongs where another's
 * header names its drive; its records carry the nonce and are judged one by one.
 */
function groupCopies(found: readonly FoundCopy[], settings: JournalSettings): LogFile[] {
  const ids = [...new Set(found.map((one) => one.fileId))].toSorted((a, b) => a - b);
  const files: LogFile[] = [];
  for (const id of ids) {
    const copies = found.filter((one) => one.fileId === id);
    const headers = copies.flatMap((one) => (one.header === null ? [] : [one.header]));
    const best = headers.toSorted((a, b) => b.epoch - a.epoch || b.generation - a.generation)[0];
    if (best === undefined) {
      if (settings.acceptLoss) continue;
      const paths = copies.map((one) => one.copy.path).join(", ");
      throw new CfsError(
        "CORRUPT",
        `the header of journal file ${id} is damaged in every copy (${paths}); add a drive with a whole one, or accept the loss`,
      );
    }
    if (best.clusterId !== settings.clusterId || best.nodeId !== settings.nodeId) {
      throw new CfsError(
        "INVALID",
        `journal file ${id} belongs to node ${best.nodeId} of cluster ${best.clusterId}, not to node ${settings.nodeId} of ${settings.clusterId}`,
      );
    }
    const file = new LogFile(best);
    for (const { copy, header } of copies) {
      const isSame = header === null ? best.members.includes(copy.state.drive.driveId) : Buffer.compare(header.nonce, best.nonce) === 0;
      if (isSame) file.copies.push(copy);
    }
    files.push(file);
  }
  return files;
}

/** With two members of the newest file away, what is here may be old: they could have gone on without this drive. */
function checkMembers(files: readonly LogFile[], drives: readonly JournalDrive[], settings: JournalSettings): void {
  const newest = files.at(-1);
  if (newest === undefined || settings.acceptLoss || settings.acceptMissing) return;
  const here = new Set(drives.map((drive) => drive.driveId));
  const missing = newest.header.members.filter((id) => !here.has(id));
  if (missing.length < 2) return;
  const message =
    `${missing.length} of the ${newest.header.members.length} drives with the newest part of the journal are missing: ` +
    `${missing.map((id) => settings.driveName(id)).join(", ")}; what was written last may be on them alone`;
  const next =
    "bring them back (mount them, name each with --data) and start again; only if they are lost for good: start once with --degraded, " +
    "which goes on with what is here and gives up what only they hold, then run: cfs fsck";
  throw new CfsError("NO_DEVICE", message, { details: { fileId: newest.fileId, missingCount: missing.length, next } });
}

async function repairHeaders(
  parts: JournalParts,
  found: readonly FoundCopy[],
  all: readonly LogFile[],
  files: JournalFiles,
  counts: FileCounts,
): Promise<void> {
  for (const file of all) {
    for (const copy of [...file.copies]) {
      if (found.find((one) => one.copy === copy)?.header !== null) continue;
      await files.writeHeader(copy, encodeHeader(file.header, parts.crc32c));
      counts.repairedCount++;
      parts.log.warn("a damaged journal header was repaired", { path: copy.path });
    }
  }
}

/** The index of the record behind each file's header, or null where no copy has a whole one. */
async function firstIndexes(parts: JournalParts, all: readonly LogFile[]): Promise<(number | null)[]> {
  const first = async (file: LogFile): Promise<number | null> => {
    for (const copy of file.copies) {
      const record = await readCopy(parts, file, copy, blockBytes, blockBytes).catch(() => null);
      if (record !== null) return record.info.index;
    }
    return null;
  };
  return Promise.all(all.map(first));
}

/**
 * Leaves out files that were made ready and took no frame, which is most of what a start would read otherwise. The first frame lies in the first
 * block behind the header, and no later one is acknowledged without it: where that block is untouched in every copy, nothing in the file counts.
 */
async function usedFiles(parts: JournalParts, files: readonly LogFile[], firsts: readonly (number | null)[]): Promise<LogFile[]> {
  const isUsed = await Promise.all(files.map(async (file, position) => firsts[position] !== null || !(await isUnused(parts, file))));
  return files.filter((_, position) => isUsed[position]);
}

async function isUnused(parts: JournalParts, file: LogFile): Promise<boolean> {
  for (const copy of file.copies) {
    const isUntouched = await withPages(parts.io, blockBytes, async (block) => {
      await readFully(parts.io, copy.file, block, blockBytes);
      return isFirstBlockUnused(block, file.header, parts.crc32c);
    }).catch(() => false);
    if (!isUntouched) return false;
  }
  return true;
}

async function scanAll(
  parts: JournalParts,
  all: readonly LogFile[],
  used: readonly LogFile[],
  settings: JournalSettings,
): Promise<Recovered> {
  const bounds = new Map(indexBounds(all).map((bound, position) => [all[position] as LogFile, bound]));
  // The copies of a file lie on as many drives and are read at once.
  const scan = (file: LogFile, indexMax: number): Promise<CopyScan[]> =>
    Promise.all(
      file.copies.map((copy) =>
        withPages(parts.io, Math.min(windowBytesMax, file.header.sizeBytes), (window) =>
          scanCopy({ io: parts.io, crc32c: parts.crc32c, window }, copy.file, file.header, indexMax),
        ),
      ),
    );
  return recover(
    used,
    used.map((file) => bounds.get(file) as number),
    scan,
    settings,
  );
}

/** Gives every copy what it lacks of the file's entries, and the file as many copies as an acknowledgement needs. */
async function settleChain(parts: JournalParts, files: JournalFiles, chain: FileChain, counts: FileCounts): Promise<void> {
  const { file, offsets, indexes, spans } = chain;
  file.firstIndex = indexes[0] as number;
  file.lastIndex = indexes.at(-1) as number;
  file.endBytes = roundUp((offsets.at(-1) as number) + (spans.at(-1) as number), blockBytes);
  file.sentBytes = file.endBytes;
  file.payloadBytes = chain.payloadBytes;
  const copies = [...file.copies];
  const whole = copies.find((_, position) => chain.missing[position]?.length === 0) ?? null;
  for (const [position, copy] of copies.entries()) {
    const missing = chain.missing[position] as number[];
    if (missing.length === 0) continue;
    try {
      if (whole !== null) await copyRuns(parts, chain, missing, whole, copy);
      else await copyRecords(parts, chain, missing, copies, copy);
      counts.repairedCount += missing.length;
      parts.log.warn("a journal file lacked entries that another drive had", { path: copy.path, count: missing.length });
    } catch (reason) {
      counts.unrepairedCount += missing.length;
      if (copy.state.isHealthy) files.dropDrive(copy.state, CfsError.from(reason));
    }
  }
  if (file.copies.length < files.requiredCopies) {
    files.ensure(file);
    await files.settled(file);
  }
}

/** From a copy that lacks nothing, whole blocks can be taken: runs of neighbours go in one piece. */
async function copyRuns(
  parts: JournalParts,
  chain: FileChain,
  missing: readonly number[],
  source: FileCopy,
  target: FileCopy,
): Promise<void> {
  const { offsets, spans } = chain;
  await withPages(parts.io, Math.min(windowBytesMax, chain.file.header.sizeBytes), async (pages) => {
    for (let at = 0; at < missing.length;) {
      const begin = Math.floor((offsets[missing[at] as number] as number) / blockBytes) * blockBytes;
      let end = begin;
      for (; at < missing.length; at++) {
        const record = missing[at] as number;
        const recordEnd = roundUp((offsets[record] as number) + (spans[record] as number), blockBytes);
        if (recordEnd - begin > pages.length || (end !== begin && (offsets[record] as number) > end)) break;
        end = recordEnd;
      }
      const window = pages.subarray(0, end - begin);
      await readFully(parts.io, source.file, window, begin);
      await parts.io.write(target.file, [window], begin);
    }
  });
}

async function copyRecords(
  parts: JournalParts,
  chain: FileChain,
  missing: readonly number[],
  copies: readonly FileCopy[],
  target: FileCopy,
): Promise<void> {
  const { file, offsets, sources, spans } = chain;
  for (const position of missing) {
    const source = copies[sources[position] as number] as FileCopy;
    const record = await readCopy(parts, file, source, offsets[position] as number, spans[position] as number);
    if (record === null) throw new CfsError("CORRUPT", `${source.path} lost the record at ${offsets[position]} since it was read`);
    await repairCopy(parts, target, record, (bytes, at) =>
      encodeRecord(bytes, at, file.header, { ...record.info, head: record.head, payload: [record.payload] }, parts.crc32c),
    );
  }
}

/** Reads windows of one copy; a record that is not whole there comes from `readRecord`, which asks the others. */
export async function replayChains(
  parts: JournalParts,
  chains: readonly FileChain[],
  range: { readonly fromIndex: number; readonly lastIndex: number },
  readRecord: (file: LogFile, offsetBytes: number, spanBytes: number) => Promise<RecordBytes>,
  visit: (record: ReplayRecord) => void | Promise<void>,
): Promise<void> {
  for (const chain of chains) {
    if ((chain.indexes.at(-1) as number) < range.fromIndex || (chain.indexes[0] as number) > range.lastIndex) continue;
    await withPages(parts.io, Math.min(windowBytesMax, chain.file.header.sizeBytes), (pages) =>
      replayChain(parts, chain, range, pages, readRecord, visit),
    );
  }
}

async function replayChain(
  parts: JournalParts,
  chain: FileChain,
  range: { readonly fromIndex: number; readonly lastIndex: number },
  pages: Buffer,
  readRecord: (file: LogFile, offsetBytes: number, spanBytes: number) => Promise<RecordBytes>,
  visit: (record: ReplayRecord) => void | Promise<void>,
): Promise<void> {
  const { file, offsets, indexes, spans } = chain;
  let begin = 0;
  let end = 0;
  for (let position = 0; position < offsets.length; position++) {
    const index = indexes[position] as number;
    if (index < range.fromIndex) continue;
    if (index > range.lastIndex) return;
    const offset = offsets[position] as number;
    const span = spans[position] as number;
    if (offset < begin || offset + span > end) {
      begin = Math.floor(offset / blockBytes) * blockBytes;
      end = Math.min(begin + pages.length, file.endBytes);
      await readFirst(parts, file, pages.subarray(0, end - begin), begin);
    }
    const record = recordIn(parts, file, pages.subarray(0, end - begin), offset - begin, offset) ?? (await readRecord(file, offset, span));
    if (record.info.index !== index)
      throw new CfsError("CORRUPT", `journal file ${file.fileId} has entry ${record.info.index} at ${offset}, not ${index}`);
    const visited = visit({ index, fileId: file.fileId, recordOffsetBytes: offset, head: record.head, payload: record.payload });
    if (visited instanceof Promise) await visited;
  }
}

async function readFirst(parts: JournalParts, file: LogFile, window: Uint8Array, offsetBytes: number): Promise<void> {
  const copy = file.copies[0];
  const isRead =
    copy !== undefined &&
    (await readFully(parts.io, copy.file, window, offsetBytes).then(
      () => true,
      () => false,
    ));
  if (!isRead) window.fill(0);
}

function recordIn(parts: JournalParts, file: LogFile, window: Buffer, at: number, offsetBytes: number): RecordBytes | null {
  const info = decodeRecord(window, at, file.header, offsetBytes, parts.crc32c);
  if (info === null) return null;
  const payloadAt = at + recordHeaderBytes + info.headBytes;
  const payload = window.subarray(payloadAt, payloadAt + info.payloadBytes);
  if (!payloadIsWhole(info, payload, parts.crc32c)) return null;
  return { info, head: window.subarray(at + recordHeaderBytes, payloadAt), payload };
}
