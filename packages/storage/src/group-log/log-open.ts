/**
 * Reads a group log from its files: checks that none is missing and none is damaged, and rebuilds the groups.
 *
 * What a crash may leave: parts of one more frame behind the last whole one of the newest file; a newest file whose header was never
 * written; old files that were let go. Everything else that is not as it was written is CORRUPT, with the place, and nothing is opened.
 */
import { CfsError } from "@cfs/core";
import type { Logger } from "@cfs/core";
import { decodeGroupRecords, GroupReplay } from "@cfs/metadata";
import type { GroupEntries, GroupId } from "@cfs/metadata";

import type { GroupLogSettings } from "./group-log.ts";
import { fileIdOf, fileName, FrameScan, openFile } from "./log-file.ts";
import type { FileParts, LogFile } from "./log-file.ts";
import { isZero } from "./sector-format.ts";

export interface OpenedLog {
  readonly groups: ReadonlyMap<GroupId, GroupEntries>;
  readonly reclaimedFileId: number;
  /** The newest file has parts of a frame behind its end, where nothing may be written. */
  readonly mustRoll: boolean;
}

/** Puts the open files into `files` as it goes, so that the caller can close them whatever happens. `window` holds the largest frame. */
export async function openLog(
  parts: FileParts & { readonly logger: Logger },
  settings: GroupLogSettings,
  window: Uint8Array,
  files: LogFile[],
): Promise<OpenedLog> {
  const { io } = parts;
  await io.makeDirectory(settings.directory);
  const names = await io.list(settings.directory);
  const ids = names.map(fileIdOf).filter((id) => id !== null);
  for (const [at, fileId] of ids.entries()) {
    if (at > 0 && fileId !== (ids[at - 1] as number) + 1) {
      throw new CfsError("CORRUPT", `file ${fileName(fileId - 1)} of the group log in ${settings.directory} is missing`);
    }
    const log = await openFile(parts, `${settings.directory}/${fileName(fileId)}`);
    if (log === null) await removeUnwritten(parts, settings.directory, fileId, at === ids.length - 1, window);
    else files.push(checked(log, fileId, settings));
  }
  const replay = new GroupReplay();
  let mustRoll = false;
  for (const [at, log] of files.entries()) {
    const next = files[at + 1] ?? null;
    const tail = await replayFile(parts, log, next === null ? null : next.header.previousFrames, window, replay);
    if (next === null) mustRoll = tail === "torn";
  }
  const oldest = files[0]?.header.fileId ?? 1;
  if (oldest > replay.reclaimedFileId + 1) {
    throw new CfsError("CORRUPT", `file ${fileName(oldest - 1)} of the group log in ${settings.directory} is missing`);
  }
  const newest = files.at(-1);
  // What was read may never have been durable: the process may have died between the write and its acknowledgement.
  if (newest !== undefined) await io.syncData(newest.file);
  if (mustRoll) parts.logger.info("the group log ended in a write that was cut off", { file: newest?.path ?? "" });
  return { groups: replay.finish(), reclaimedFileId: replay.reclaimedFileId, mustRoll };
}

function checked(log: LogFile, fileId: number, settings: GroupLogSettings): LogFile {
  const { header, path } = log;
  if (header.fileId !== fileId) throw new CfsError("CORRUPT", `group log file ${path} says that it is file ${header.fileId}`);
  if (header.clusterId !== settings.clusterId || header.nodeId !== settings.nodeId) {
    throw new CfsError("INVALID", `group log file ${path} belongs to node ${header.nodeId} of cluster ${header.clusterId}`);
  }
  return log;
}

/** Making the newest file was cut off: its header was durable before anything was written to it. */
async function removeUnwritten(parts: FileParts, directory: string, fileId: number, isNewest: boolean, window: Uint8Array): Promise<void> {
  const { io } = parts;
  const path = `${directory}/${fileName(fileId)}`;
  const file = await io.open(path, { direct: true, dataSync: true, create: false, exclusive: false, readOnly: false });
  const reading = io.read(file, window, 0);
  await Promise.allSettled([reading]);
  await io.close(file);
  const count = await reading;
  if (!isNewest || !isZero(window.subarray(0, count))) {
    throw new CfsError("CORRUPT", `group log file ${path} has no header`);
  }
  await io.unlink(path);
  await io.syncDirectory(directory);
}

async function replayFile(
  parts: FileParts,
  log: LogFile,
  frameCount: number | null,
  window: Uint8Array,
  replay: GroupReplay,
): Promise<"clean" | "torn"> {
  const scan = new FrameScan(parts, log, window);
  const { fileId } = log.header;
  while (frameCount === null || log.frames < frameCount) {
    const found = await scan.next();
    if (found === null) break;
    const { stream, offsetBytes, frame } = found;
    decodeGroupRecords(stream, (record, end) => {
      if (record.type !== "payload") return replay.take(record, fileId, null);
      const sizeBytes = record.bytes.length;
      const place = { fileId, frameOffsetBytes: offsetBytes, frame, streamOffset: end - sizeBytes, sizeBytes, term: record.term };
      return replay.take(record, fileId, place);
    });
  }
  if (frameCount === null) return scan.tail();
  if (log.frames === frameCount) return "clean";
  throw new CfsError(
    "CORRUPT",
    `frame ${log.frames + 1} of ${log.path} at ${log.endBytes} is damaged; ${frameCount} frames were acknowledged`,
  );
}
