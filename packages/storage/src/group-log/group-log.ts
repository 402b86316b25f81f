/**
 * The write-ahead log that all Raft groups of a node share: one write per append, whatever the number of groups (metadata's GroupLog port).
 *
 * One write is in flight at a time, to files opened for direct and durable writing, so a write that is done is durable, with everything
 * before it. What the groups show changes after that. A write that failed leaves the log broken: what is on the drive is not known any more,
 * so nothing is tried again; opening the log reads what is there. Only for want of room on the drive an append waits (room.ts); what lets old files
 * go does not wait behind it, and has a reserve at the end of each file. Format: sector-format.ts and metadata's group-record-format.ts;
 * docs/internals/shard.md has the whole story.
 */
import { assert, ByteWriter, CfsError } from "@cfs/core";
import type { Clock, Logger, Random } from "@cfs/core";
import { encodeGroupRecord, GroupEntries } from "@cfs/metadata";
import type {
  AppendOptions,
  GroupId,
  GroupLog,
  GroupLogRoom,
  GroupLogStatistics,
  GroupRecord,
  GroupUpdate,
  PayloadUse,
} from "@cfs/metadata";

import { bufferBytesMax } from "../device/buffer-pool.ts";
import type { Io } from "../device/io.ts";
import { readPlace } from "./log-file.ts";
import type { LogFile } from "./log-file.ts";
import { openLog } from "./log-open.ts";
import { dropUnused, framesBytesMax, liveBytesOf, liveRecords, recordBytesMax, recordsOf } from "./log-records.ts";
import { NextFile } from "./next-file.ts";
import { Room } from "./room.ts";
import { fileHeaderBytes, frameAlignBytes, FrameBuffer, streamCapacity } from "./sector-format.ts";
import type { Crc32c, FileHeader } from "./sector-format.ts";

export interface GroupLogParts {
  readonly io: Io;
  readonly crc32c: Crc32c;
  /** For tries after a while when the drive is full. */
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface GroupLogOptions {
  /** Holds the files and nothing else; made when it is missing. */
  readonly directory: string;
  /** 32 hex digits each; a log of another node is refused. */
  readonly clusterId: string;
  readonly nodeId: string;
  /** Size of a file, a multiple of 4096; at least two of the largest frames. Default 64 MiB. */
  readonly fileBytes?: number;
  /** The largest frame: bounds a record and the memory that the log holds. A power of two up to 4 MiB, the default. */
  readonly frameBytes?: number;
  /** Above it, what is needed of the oldest file is written again so that it can go, but no more than was appended. Default four files. */
  readonly reclaimBytes?: number;
  /** Above it `isFull`. Default sixteen files. */
  readonly totalBytesMax?: number;
}

export type GroupLogSettings = Required<GroupLogOptions>;

/** Moved in one go, so that appends do not wait long behind it. */
const moveBytesMax = 1 << 20;

export class FileGroupLog implements GroupLog {
  readonly groups: Map<GroupId, GroupEntries> = new Map();
  readonly #parts: GroupLogParts;
  readonly #settings: GroupLogSettings;
  /** Oldest first; the last one is written. */
  readonly #files: LogFile[] = [];
  readonly #room: Room;
  readonly #next: NextFile;
  readonly #memory: Uint8Array;
  readonly #frame: FrameBuffer;
  readonly #writer: ByteWriter = new ByteWriter(1 << 16);
  /** What the frame that is being filled holds; `at` is the place of a payload in the stream. */
  #pending: { readonly record: GroupRecord; readonly at: number }[] = [];
  #mustRoll = false;
  /** Bytes that may be written again for the sake of old files; below 0 when the last one took more. */
  #moveBytesLeft = 0;
  #broken: CfsError | null = null;
  #last: Promise<void> = Promise.resolve();
  /** The last of the appends, which keep their order also while the first of them waits for room. */
  #lastAppend: Promise<void> = Promise.resolve();
  #closing: Promise<void> | null = null;
  #reclaiming: Promise<void> | null = null;
  #counts = { frameCount: 0, frameBytes: 0, movedBytes: 0, reclaimedFiles: 0 };

  private constructor(parts: GroupLogParts, settings: GroupLogSettings) {
    this.#parts = parts;
    this.#settings = settings;
    this.#memory = parts.io.pool.take(settings.frameBytes);
    this.#frame = new FrameBuffer(this.#memory);
    this.#room = new Room(parts);
    this.#next = new NextFile({ ...parts, room: this.#room }, settings);
  }

  /** Reads the whole log. CORRUPT when anything that was acknowledged is missing or damaged, with the place. */
  static async open(parts: GroupLogParts, options: GroupLogOptions): Promise<FileGroupLog> {
    const log = new FileGroupLog(parts, settingsOf(options));
    try {
      const opened = await openLog(parts, log.#settings, log.#memory, log.#files);
      for (const [group, entries] of opened.groups) log.groups.set(group, entries);
      log.#mustRoll = opened.mustRoll;
      log.#moveBytesLeft = log.#totalBytes;
      for (const file of log.#files.filter(({ header }) => header.fileId <= opened.reclaimedFileId)) {
        dropUnused(log.groups, file.header.fileId);
        await log.#remove(file);
      }
      const newest = log.#files.at(-1);
      if (newest !== undefined) log.#next.begin(newest.header.fileId + 1);
      return log;
    } catch (reason) {
      await log.close();
      throw reason;
    }
  }

  get broken(): CfsError | null {
    return this.#broken;
  }

  get fileCount(): number {
    return this.#files.length;
  }

  get isFull(): boolean {
    return this.#totalBytes > this.#settings.totalBytesMax || this.#room.state !== "enough";
  }

  get room(): GroupLogRoom {
    return this.#room.state;
  }

  get #totalBytes(): number {
    return this.#files.length * this.#settings.fileBytes;
  }

  get statistics(): GroupLogStatistics {
    let entryBytes = 0;
    for (const group of this.groups.values()) entryBytes += group.sizeBytes;
    return { ...this.#counts, fileCount: this.#files.length, totalBytes: this.#totalBytes, entryBytes };
  }

  append(updates: readonly GroupUpdate[], { signal }: AppendOptions = {}): Promise<void> {
    const done = this.#lastAppend.then(() => this.#append(updates, signal ?? null));
    this.#lastAppend = done.catch(() => undefined); // Whoever called heard it.
    return done;
  }

  /** Waits for the next file before its turn, so that what frees old ones can be written meanwhile. */
  async #append(updates: readonly GroupUpdate[], signal: AbortSignal | null): Promise<void> {
    const attempt = async (): Promise<boolean> => {
      const records = recordsOf(updates, this.groups);
      const isRoom = this.#hasRoom(records, false);
      if (isRoom) await this.#write(records, { signal });
      return isRoom;
    };
    while (!(await this.#inTurn(attempt))) await this.#orBroken(() => this.#whenNextIsThere(signal));
  }

  async #whenNextIsThere(signal: AbortSignal | null): Promise<void> {
    const problem = await this.#room.needed(this.#next.whenSettled(), signal);
    if (problem !== null && this.#closing !== null) throw problem;
  }

  compact(group: GroupId, meta: GroupEntries["snapshot"]): Promise<boolean> {
    return this.#inTurn(async () => {
      const held = this.groups.get(group);
      if (held === undefined || meta.index <= held.snapshot.index) return true;
      const records: GroupRecord[] = [{ type: "compacted", group, meta }];
      const isRoom = this.#hasRoom(records, true);
      if (isRoom) await this.#write(records, { frees: true });
      return isRoom;
    });
  }

  async readPayload(group: GroupId, index: number): Promise<Uint8Array> {
    for (;;) {
      const place = this.groups.get(group)?.payloads.get(index);
      const log = place === undefined ? undefined : this.#files.find(({ header }) => header.fileId === place.fileId);
      if (place === undefined || log === undefined) {
        throw new CfsError("NOT_FOUND", `the payload of entry ${index} of group ${group} is not here`);
      }
      try {
        return await readPlace(this.#parts, log, place);
      } catch (reason) {
        // It was moved to another file while it was read.
        const now = this.groups.get(group)?.payloads.get(index);
        if (now === undefined || now === place || this.#closing !== null) throw reason;
      }
    }
  }

  reclaim(isInUse: PayloadUse): Promise<void> {
    this.#reclaiming ??= this.#reclaim(isInUse).finally(() => {
      this.#reclaiming = null;
    });
    return this.#reclaiming;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    await Promise.all([this.#last, this.#lastAppend, this.#room.close()]);
    await this.#next.close();
    for (const { file } of this.#files.splice(0)) {
      await this.#parts.io.close(file).catch((reason: unknown) => {
        this.#parts.logger.warn("a file of the group log did not close", { path: file.path, reason: CfsError.from(reason).message });
      });
    }
    this.#parts.io.pool.give(this.#memory);
  }

  /** One job at a time, in the order of the calls; a job that fails breaks the log. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const run = async (): Promise<T> => {
      if (this.#broken !== null) throw this.#broken;
      if (this.#closing !== null) throw new CfsError("BAD_HANDLE", "the group log is closed");
      return this.#orBroken(work);
    };
    const result = this.#last.then(run);
    this.#last = result.then(
      () => undefined,
      () => undefined, // Whoever called heard it.
    );
    return result;
  }

  async #orBroken<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (reason) {
      this.#broken ??= new CfsError("IO", "the group log cannot go on: a write failed", { cause: CfsError.from(reason) });
      if (this.#closing === null) this.#parts.logger.error("the group log is broken", { reason: CfsError.from(reason).message });
      throw this.#broken;
    }
  }

  /** Nothing of these records would wait for a file, unless they are more than fits one. */
  #hasRoom(records: readonly GroupRecord[], frees: boolean): boolean {
    return this.#next.isSettled || this.#fits(framesBytesMax(records, this.#memory.length), frees);
  }

  /** Whether the newest file has room for so much; its reserve is for what frees old ones. */
  #fits(sizeBytes: number, frees: boolean): boolean {
    const newest = this.#files.at(-1);
    if (newest === undefined || this.#mustRoll) return false;
    return newest.endBytes + sizeBytes <= newest.header.sizeBytes - (frees ? 0 : reserveBytes(this.#settings.fileBytes));
  }

  async #write(records: Iterable<GroupRecord>, how: WriteOptions = {}): Promise<void> {
    for (const record of records) {
      const sizeBytes = recordBytesMax(record);
      assert(sizeBytes <= streamCapacity(this.#memory.length), "a record fits a frame");
      if (sizeBytes > this.#frame.roomBytes - this.#writer.length) await this.#flush(how);
      const payload = encodeGroupRecord(this.#writer, record);
      if (payload !== null || this.#writer.length >= 1 << 15) this.#drainWriter();
      this.#pending.push({ record, at: this.#frame.streamBytes });
      if (payload !== null) this.#frame.put(payload);
    }
    await this.#flush(how);
  }

  #drainWriter(): void {
    if (this.#writer.length > 0) this.#frame.put(this.#writer.take());
  }

  /** Writes the frame; what it holds counts from here on. */
  async #flush({ signal = null, frees = false }: WriteOptions): Promise<void> {
    this.#drainWriter();
    if (this.#frame.streamBytes === 0) return;
    const { io, crc32c } = this.#parts;
    const log = await this.#fileFor(this.#frame.sizeBytes, frees, signal);
    const offsetBytes = log.endBytes;
    const bytes = this.#frame.seal(log.header, log.frames + 1, offsetBytes, crc32c);
    // The pool knows its buffers by the object: a direct write takes a view that begins where the buffer does.
    const write = (): Promise<void> => io.write(log.file, [new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)], offsetBytes);
    await this.#room.needed(this.#room.whenThere(write), signal);
    log.endBytes += bytes.length;
    log.frames++;
    this.#counts.frameCount++;
    this.#counts.frameBytes += bytes.length;
    if (!frees) this.#moveBytesLeft = Math.min(this.#totalBytes, this.#moveBytesLeft + bytes.length);
    const pending = this.#pending;
    this.#pending = [];
    this.#frame.reset();
    for (const { record, at } of pending) this.#take(record, log, offsetBytes, at);
  }

  async #fileFor(sizeBytes: number, frees: boolean, signal: AbortSignal | null): Promise<LogFile> {
    const last = this.#files.at(-1);
    if (last !== undefined && this.#fits(sizeBytes, frees)) return last;
    const { clusterId, nodeId, fileBytes } = this.#settings;
    const header: FileHeader = {
      fileId: (last?.header.fileId ?? 0) + 1,
      nonce: Math.floor(this.#parts.random.next() * 0x1_0000_0000),
      previousFrames: last?.frames ?? 0,
      sizeBytes: fileBytes,
      clusterId,
      nodeId,
    };
    const file = await this.#next.take(header, signal);
    this.#files.push(file);
    this.#mustRoll = false;
    this.#next.begin(header.fileId + 1);
    assert(fileHeaderBytes + sizeBytes <= fileBytes, "a frame fits a file");
    return file;
  }

  /** What the groups show follows what is durable. */
  #take(record: GroupRecord, log: LogFile, frameOffsetBytes: number, at: number): void {
    const { fileId } = log.header;
    if (record.type === "reclaimed") return;
    if (record.type === "removed") {
      this.groups.delete(record.group);
      return;
    }
    const group = this.groups.get(record.group);
    if (group === undefined) {
      assert(record.type === "installed", "a group begins with its first configuration");
      this.groups.set(record.group, new GroupEntries(record.meta, fileId));
      return;
    }
    switch (record.type) {
      case "entry":
        return group.append(record.entry, fileId);
      case "moved":
        return group.move(record.entry.index, fileId);
      case "hardState":
        return group.setHardState(record.hardState, fileId);
      case "compacted":
        return group.compact(record.meta, fileId);
      case "installed":
        return group.install(record.meta, fileId);
      case "payload": {
        const place = { fileId, frameOffsetBytes, frame: log.frames, streamOffset: at, sizeBytes: record.bytes.length, term: record.term };
        return group.setPayload(record.index, place);
      }
    }
  }

  async #reclaim(isInUse: PayloadUse): Promise<void> {
    // Bounded by the files of now: what is all in use is written again once a call at most.
    for (let left = this.#files.length - 1; left > 0 && this.#files.length > 1; left--) {
      const oldest = this.#files[0] as LogFile;
      const mayMove = this.#mayMove(isInUse);
      let isDone = false;
      while (!isDone) {
        const state = await this.#inTurn(() => this.#moveSome(oldest, isInUse, mayMove));
        if (state === "kept") return;
        isDone = state === "gone";
      }
    }
  }

  /**
   * No more is moved than was appended, else a log of which most is needed would be written again and again: it grows instead, to about twice that.
   * When it is full it is moved all the same, as long as that wins files.
   */
  #mayMove(isInUse: PayloadUse): boolean {
    const { reclaimBytes, totalBytesMax, fileBytes } = this.#settings;
    if (this.#totalBytes <= reclaimBytes) return false;
    if (this.#moveBytesLeft > 0) return true;
    if (this.#totalBytes <= totalBytesMax) return false;
    // The newest file is not full, nor is each of those that are moved into.
    return this.#totalBytes * (7 / 8) - 2 * fileBytes > liveBytesOf(this.groups, isInUse);
  }

  /** Moves a part of what is needed of the file, if it may; removes the file when nothing is. */
  async #moveSome(log: LogFile, isInUse: PayloadUse, mayMove: boolean): Promise<"gone" | "moved" | "kept"> {
    const { fileId } = log.header;
    const records = await liveRecords(this.#parts, this.groups, log, isInUse, moveBytesMax).catch((reason: unknown) => {
      // It stays where it is: nothing was lost by that, and whoever reads the payload hears the reason.
      this.#parts.logger.error("an old file of the group log cannot be read", { path: log.path, reason: CfsError.from(reason).message });
      return null;
    });
    if (records === null) return "kept";
    if (records.length === 0) {
      const said: GroupRecord[] = [{ type: "reclaimed", fileId }];
      if (!this.#hasRoom(said, true)) return "kept";
      await this.#write(said, { frees: true });
      dropUnused(this.groups, fileId);
      await this.#remove(log);
      this.#counts.reclaimedFiles++;
      return "gone";
    }
    if (!mayMove || !this.#hasRoom(records, false)) return "kept";
    const before = this.#counts.frameBytes;
    const leftBytes = this.#moveBytesLeft;
    await this.#write(records);
    const sizeBytes = this.#counts.frameBytes - before;
    this.#counts.movedBytes += sizeBytes;
    this.#moveBytesLeft = leftBytes - sizeBytes;
    return "moved";
  }

  async #remove(log: LogFile): Promise<void> {
    const { io } = this.#parts;
    this.#files.splice(this.#files.indexOf(log), 1);
    await io.close(log.file);
    await io.unlink(log.path);
    await io.syncDirectory(this.#settings.directory);
  }
}

interface WriteOptions {
  readonly signal?: AbortSignal | null;
  /** What is written lets old files go: it may use the reserve. */
  readonly frees?: boolean;
}

/** Room for hundreds of states to be said durable (2 MiB, a frame of 4096 bytes each): then the files before can go, and there is room for the next. */
function reserveBytes(fileBytes: number): number {
  return Math.min(2 << 20, Math.floor(fileBytes / 8 / frameAlignBytes) * frameAlignBytes);
}

function settingsOf(options: GroupLogOptions): GroupLogSettings {
  const frameBytes = options.frameBytes ?? bufferBytesMax;
  const fileBytes = options.fileBytes ?? 64 << 20;
  assert(
    frameBytes <= bufferBytesMax && frameBytes >= 8192 && (frameBytes & (frameBytes - 1)) === 0,
    "frameBytes is a power of two from 8192",
  );
  assert(fileBytes % 4096 === 0 && fileBytes >= 2 * frameBytes, "a file holds two of the largest frames");
  const defaults = { reclaimBytes: 4 * fileBytes, totalBytesMax: 16 * fileBytes };
  return { ...defaults, ...options, frameBytes, fileBytes };
}
