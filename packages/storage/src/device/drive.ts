/**
 * A drive: one `--data` directory of a node, with its identity, its lock, its directories and its space.
 *
 *   DRIVE/identity.json   whose it is            DRIVE/journal/   the write-ahead log
 *   DRIVE/lock            one process at a time  DRIVE/segments/  fragments      DRIVE/state/  LevelDB
 *   DRIVE/ballast         room for hard times
 *
 * Invariant: nothing but `Drive.format` writes into a directory that has no identity, so a drive that is not mounted is never filled by mistake.
 */
import { statfs } from "node:fs/promises";

import { assert, CfsError } from "@cfs/core";
import type { Clock, ClusterId, DriveId, NodeId, Random } from "@cfs/core";

import { Ballast } from "./ballast.ts";
import type { DriveLock, DriveLocker } from "./drive-lock.ts";
import { lockDrive } from "./drive-lock.ts";
import { commitIdentity, driveFormat, identityName, readIdentity, readPendingIdentity, writePendingIdentity } from "./identity.ts";
import type { DriveIdentity } from "./identity.ts";
import type { Io } from "./io.ts";
import { blockBytes, openDurable } from "./io.ts";

export interface DriveParts {
  readonly io: Io;
  readonly clock: Clock;
  readonly random: Random;
  /** Default: lockDrive. */
  readonly lock?: DriveLocker;
  /** Size of the file system of a path; default: statfs(2). */
  readonly totalBytes?: (path: string) => Promise<number>;
}

export interface DriveOwner {
  readonly clusterId: ClusterId;
  readonly nodeId: NodeId;
}

export interface DriveCapacity {
  readonly totalBytes: number;
  readonly freeBytes: number;
  /** Kept for deletes, compaction, state and rebuild: writes of data end where free space reaches it. */
  readonly reserveBytes: number;
  /** Free above the reserve. */
  readonly usableBytes: number;
}

export interface PreparedDrive {
  commit(): Promise<Drive>;
  /** Gives the lock back; after a commit, the drive does that. */
  cancel(): void;
}

export interface ProbeResult {
  readonly writeMs: number;
  readonly readMs: number;
}

const directories = ["journal", "segments", "state"] as const;
/** What a new file system may hold before cfs comes, or holds where cfs was stopped while it made a drive of it. */
const harmless: ReadonlySet<string> = new Set(["lost+found", "lock", "lock-journal", "probe.tmp", `${identityName}.tmp`]);
const gibibyte = 2 ** 30;

/** 2 %, at least 1 GiB, but never more than 10 % of a small drive. */
export function reserveBytesOf(totalBytes: number): number {
  return Math.floor(Math.max(totalBytes * 0.02, Math.min(gibibyte, totalBytes * 0.1)));
}

export class Drive {
  readonly path: string;
  readonly identity: DriveIdentity;
  readonly ballast: Ballast;
  readonly #parts: DriveParts;
  readonly #lock: DriveLock;

  private constructor(parts: DriveParts, path: string, identity: DriveIdentity, ballast: Ballast, lock: DriveLock) {
    this.#parts = parts;
    this.ballast = ballast;
    this.path = path;
    this.identity = identity;
    this.#lock = lock;
  }

  get driveId(): DriveId {
    return this.identity.driveId;
  }

  get segmentsPath(): string {
    return `${this.path}/segments`;
  }

  /** The directory of the state store on this drive. */
  get statePath(): string {
    return `${this.path}/state/kv`;
  }

  /** Makes an empty directory a drive of the cluster and opens it. */
  static async format(parts: DriveParts, path: string, owner: DriveOwner): Promise<Drive> {
    return (await Drive.prepare(parts, path, owner)).commit();
  }

  /**
   * Makes an empty directory ready to be a drive, all but the name of its identity. Where several drives belong together, all are prepared before the first one is
   * committed: so a drive with an identity proves that the others have theirs, at least pending (`finishFormat`).
   */
  static async prepare(parts: DriveParts, path: string, owner: DriveOwner): Promise<PreparedDrive> {
    await checkNew(parts.io, path);
    const lock = (parts.lock ?? lockDrive)(path);
    try {
      await checkWritable(parts, path);
      const driveId = Buffer.from(parts.random.bytes(new Uint8Array(16))).toString("hex") as DriveId;
      const createdAt = new Date(parts.clock.wallTime().sec * 1000).toISOString();
      const identity: DriveIdentity = { format: driveFormat, ...owner, driveId, createdAt };
      await makeDirectories(parts.io, path);
      await writePendingIdentity(parts.io, path, identity);
      const drive = new Drive(parts, path, identity, await Ballast.open(parts.io, path), lock);
      // Last: what has an identity is whole.
      return { commit: () => commitIdentity(parts.io, path).then(() => drive), cancel: () => drive.close() };
    } catch (reason) {
      lock.release();
      throw reason;
    }
  }

  /** Opens a drive of this node; `owner` null takes whatever identity it has, for tools. One that is full is opened: it can be read, and emptied. */
  static async open(parts: DriveParts, path: string, owner: DriveOwner | null): Promise<Drive> {
    const names = await namesIn(parts.io, path);
    if (!names.includes(identityName)) throw missingIdentity(path, names);
    const identity = await readIdentity(parts.io, path);
    if (owner !== null) checkOwner(path, identity, owner);
    const lock = (parts.lock ?? lockDrive)(path);
    try {
      const ballast = await Ballast.open(parts.io, path);
      if ((await parts.io.freeBytes(path)) < ballast.bytes) await ballast.drop();
      await checkWritable(parts, path).catch(unlessFull);
      if (directories.some((name) => !names.includes(name))) await makeDirectories(parts.io, path);
      return new Drive(parts, path, identity, ballast, lock);
    } catch (reason) {
      lock.release();
      throw reason;
    }
  }

  async capacity(): Promise<DriveCapacity> {
    const totalBytes = await (this.#parts.totalBytes ?? totalBytesOf)(this.path);
    const freeBytes = await this.#parts.io.freeBytes(this.path);
    const reserveBytes = reserveBytesOf(totalBytes);
    return { totalBytes, freeBytes, reserveBytes, usableBytes: Math.max(0, freeBytes - reserveBytes) };
  }

  /** Whether it can be written and read right now; throws what failed. */
  probe(): Promise<ProbeResult> {
    return probeDrive(this.#parts, this.path);
  }

  /** Gives the lock back; idempotent. */
  close(): void {
    this.#lock.release();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Throws why the directory cannot become a drive; writes nothing. */
export async function checkNew(io: Io, path: string): Promise<void> {
  const names = await namesIn(io, path);
  if (names.includes(identityName)) {
    const { clusterId, nodeId } = await readIdentity(io, path);
    throw new CfsError(
      "EXISTS",
      `${path} is a drive already, of node ${nodeId} in cluster ${clusterId}; start it with: cfs server start --data ${path}`,
    );
  }
  let other = names.find((name) => !harmless.has(name) && !directories.some((directory) => directory === name));
  for (const name of directories) if (names.includes(name) && (await io.list(`${path}/${name}`)).length > 0) other ??= name;
  if (other !== undefined)
    throw new CfsError(
      "NOT_EMPTY",
      `${path} is not empty: it holds ${other}. Name an empty directory, or empty this one if nothing in it is needed`,
    );
}

/**
 * Ends the making of a drive that was stopped after other drives of its owner had their identity. Null where the directory holds no pending identity of this
 * owner: then it is no drive of his.
 */
export async function finishFormat(parts: DriveParts, path: string, owner: DriveOwner): Promise<DriveIdentity | null> {
  const isOwn = (identity: DriveIdentity | null): boolean => identity?.clusterId === owner.clusterId && identity.nodeId === owner.nodeId;
  if (!isOwn(await readPendingIdentity(parts.io, path))) return null;
  const lock = (parts.lock ?? lockDrive)(path);
  try {
    await commitIdentity(parts.io, path);
    return await readIdentity(parts.io, path);
  } finally {
    lock.release();
  }
}

/** All drives of a node, or none: each must be the owner's, and no drive may come twice, by whatever path. */
export async function openDrives(parts: DriveParts, paths: readonly string[], owner: DriveOwner | null): Promise<Drive[]> {
  assert(paths.length >= 1, "a node has a drive");
  const identities = await Promise.all(paths.map((path) => identityIn(parts.io, path)));
  checkTwice(paths, identities);
  const [first] = identities;
  const known = owner ?? (first ? { clusterId: first.clusterId, nodeId: first.nodeId } : null);
  // At once: each waits for its own drive, and where they share a disk one commit serves all.
  const opened = await Promise.allSettled(paths.map((path) => Drive.open(parts, path, known)));
  const failed = opened.find((one) => one.status === "rejected");
  if (failed === undefined) return opened.map((one) => (one as PromiseFulfilledResult<Drive>).value);
  for (const one of opened) if (one.status === "fulfilled") one.value.close();
  throw failed.reason;
}

/** Null where there is none: opening says what is wrong. */
async function identityIn(io: Io, path: string): Promise<DriveIdentity | null> {
  return (await namesIn(io, path)).includes(identityName) ? readIdentity(io, path) : null;
}

/** Before the lock says BUSY: the likelier mistake has a better message. */
function checkTwice(paths: readonly string[], identities: readonly (DriveIdentity | null)[]): void {
  identities.forEach((identity, index) => {
    const other = identities.findIndex((one) => one !== null && one.driveId === identity?.driveId);
    if (other === -1 || other === index) return;
    throw new CfsError(
      "INVALID",
      `${paths[index]} and ${paths[other]} are the same drive ${identity?.driveId}: name it once, or remove the copy of identity.json`,
    );
  });
}

/** Writes a block past every cache, reads it back and compares; leaves nothing behind. */
export async function probeDrive(parts: Pick<DriveParts, "io" | "clock" | "random">, path: string): Promise<ProbeResult> {
  const { io, clock, random } = parts;
  const name = `${path}/probe.tmp`;
  const block = await io.pool.takeOrWait(blockBytes);
  try {
    random.bytes(block.subarray(0, 64));
    const expected = Buffer.from(block.subarray(0, 64));
    const begin = clock.monotonicMs();
    const file = await io.open(name, { ...openDurable, create: true });
    try {
      await io.write(file, [block], 0);
      const written = clock.monotonicMs();
      block.fill(0);
      const count = await io.read(file, block, 0);
      if (count !== blockBytes || Buffer.compare(expected, block.subarray(0, 64)) !== 0) {
        throw new CfsError("CORRUPT", `${path} gives back other bytes than were written to it: take the drive out of service`);
      }
      return { writeMs: written - begin, readMs: clock.monotonicMs() - written };
    } finally {
      await io.close(file);
      await io.unlink(name);
    }
  } finally {
    io.pool.give(block);
  }
}

async function totalBytesOf(path: string): Promise<number> {
  const { blocks, bsize } = await statfs(path);
  return blocks * bsize;
}

async function namesIn(io: Io, path: string): Promise<string[]> {
  try {
    return await io.list(path);
  } catch (cause) {
    const { code } = CfsError.from(cause);
    if (code === "NOT_FOUND")
      throw new CfsError("NOT_FOUND", `the data directory ${path} does not exist; make it, or mount the drive there`, { cause });
    if (code === "NOT_DIRECTORY")
      throw new CfsError("NOT_DIRECTORY", `${path} is not a directory; --data takes a directory on a drive of its own`, { cause });
    if (code === "ACCESS_DENIED")
      throw new CfsError("ACCESS_DENIED", `${path} may not be read by this user; change its owner, or start cfs as its owner`, { cause });
    throw cause;
  }
}

function missingIdentity(path: string, names: readonly string[]): CfsError {
  const hasData = directories.some((name) => names.includes(name));
  if (hasData) {
    return new CfsError(
      "CORRUPT",
      `${path} holds cfs data, but its ${identityName} is gone: put back a copy of it, or replace the drive and let it be filled again`,
    );
  }
  return new CfsError("NOT_FOUND", `${path} has no ${identityName}: the drive is not mounted there, or it is no cfs drive`);
}

function checkOwner(path: string, identity: DriveIdentity, owner: DriveOwner): void {
  if (identity.clusterId !== owner.clusterId) {
    throw new CfsError(
      "INVALID",
      `${path} belongs to cluster ${identity.clusterId}, this node to ${owner.clusterId}; take it out of --data, or empty it if nothing in it is needed`,
    );
  }
  if (identity.nodeId !== owner.nodeId) {
    throw new CfsError(
      "INVALID",
      `${path} belongs to node ${identity.nodeId}, this is node ${owner.nodeId}; start it there, or drain it there first`,
    );
  }
}

async function checkWritable(parts: DriveParts, path: string): Promise<void> {
  try {
    await probeDrive(parts, path);
  } catch (cause) {
    const { code } = CfsError.from(cause);
    if (code === "READ_ONLY")
      throw new CfsError(
        "READ_ONLY",
        `${path} is mounted read-only, which drives with errors become: look into the kernel log, then mount it for writing`,
        { cause },
      );
    if (code === "ACCESS_DENIED")
      throw new CfsError("ACCESS_DENIED", `${path} may not be written by this user; change its owner, or start cfs as its owner`, {
        cause,
      });
    throw cause;
  }
}

function unlessFull(reason: unknown): void {
  const { code } = CfsError.from(reason);
  if (code !== "NO_SPACE" && code !== "QUOTA") throw reason;
}

async function makeDirectories(io: Io, path: string): Promise<void> {
  for (const name of directories) await io.makeDirectory(`${path}/${name}`);
  await io.syncDirectory(path);
}
