/**
 * The drives of a node at start: new ones are made only when all are new, otherwise each must be of this node.
 *
 * Beside the drives that are named, those come along that joined while the server ran, and those that were removed stay out: the drives' own list
 * of themselves says which (maintenance/drive-book.ts). With `isDegraded`, drives that cannot be used are left out as long as one can.
 * A first start that was stopped anywhere is ended by the next one: before any drive has an identity it begins anew, after that it goes on.
 * Invariant: nothing is written to any directory before all of them were looked at.
 */
import { readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { CfsError, shellWord } from "@cfs/core";
import type { ClusterId, Logger, NodeId } from "@cfs/core";
import { checkNew, Drive, finishFormat, openDrives as openExisting, readIdentity } from "@cfs/storage";
import type { DriveIdentity, DriveParts, PreparedDrive } from "@cfs/storage";
import { readBook } from "./maintenance/drive-book.ts";
import type { BookEntry } from "./maintenance/drive-book.ts";
import { mustBeFit, mustBeOutsideCfs } from "./new-drives.ts";

export interface UnusableDrive {
  readonly path: string;
  readonly reason: string;
}

export interface OpenDrives {
  readonly clusterId: ClusterId;
  readonly nodeId: NodeId;
  /** In the order of the command line; drives come and go while the server runs. */
  readonly list: Drive[];
  /** True when the drives were made just now. */
  readonly isNew: boolean;
  /** What was named and is left out. */
  readonly unusable: readonly UnusableDrive[];
  /** "drive 0a1b2c3d, last seen at /srv/d2", as far as that is known. */
  nameOf(driveId: string): string;
  close(): void;
}

export interface OpenDrivesParts extends DriveParts {
  readonly logger: Logger;
}

export interface OpenDrivesOptions {
  /** Go on without drives that cannot be used. */
  readonly isDegraded: boolean;
}

interface Look {
  readonly path: string;
  /** Null when the directory is there and holds no identity. */
  readonly identity: DriveIdentity | null;
  /** Why it cannot be used. */
  readonly error: CfsError | null;
}

export async function openDrives(parts: OpenDrivesParts, data: readonly string[], options: OpenDrivesOptions): Promise<OpenDrives> {
  if (data.length === 0) throw new CfsError("INVALID", "a server needs at least one drive: --data DIR");
  const paths = data.map((path) => resolve(path));
  const twice = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twice !== undefined) throw new CfsError("INVALID", `${twice} is named twice with --data`);
  mustBeOutsideCfs(paths);
  const looks = await Promise.all(paths.map((path) => look(parts, path)));
  const isNew = looks.every(({ identity, error }) => identity === null && error === null);
  if (isNew) await mustBeFit(paths);
  const { list, unusable, book } = isNew
    ? { list: await format(parts, paths), unusable: [], book: [] }
    : await openKnown(parts, await finished(parts, looks), options);
  const [first] = list;
  if (!first) throw new CfsError("INVALID", "no drive was opened");
  const { clusterId, nodeId } = first.identity;
  return {
    clusterId,
    nodeId,
    list,
    isNew,
    unusable,
    nameOf: (driveId) => {
      const path = book.find((entry) => entry.driveId === driveId)?.path;
      return `drive ${driveId.slice(0, 8)}${path === undefined ? "" : `, last seen at ${path}`}`;
    },
    close: () => {
      for (const drive of list) drive.close();
    },
  };
}

async function look({ io }: DriveParts, path: string): Promise<Look> {
  try {
    if (!(await readdir(path)).includes("identity.json")) return { path, identity: null, error: null };
    return { path, identity: await readIdentity(io, path), error: null };
  } catch (reason) {
    return { path, identity: null, error: reason instanceof CfsError ? reason : directoryError(path, reason) };
  }
}

function directoryError(path: string, reason: unknown): CfsError {
  const code = (reason as NodeJS.ErrnoException).code;
  if (code === "ENOENT")
    return new CfsError("NOT_FOUND", `${path} does not exist`, {
      cause: reason,
      details: { next: `make it (mkdir -p ${shellWord(path)}), or mount the drive that belongs there` },
    });
  if (code === "ENOTDIR") return new CfsError("NOT_DIRECTORY", `${path} is not a directory; --data takes directories`, { cause: reason });
  return new CfsError(code === "EACCES" ? "ACCESS_DENIED" : "IO", `${path} cannot be read (${code ?? "unknown"})`, { cause: reason });
}

/** Drives that were being made when the first start was stopped are made to their end. */
async function finished(parts: OpenDrivesParts, looks: readonly Look[]): Promise<readonly Look[]> {
  const owner = looks.find(({ identity }) => identity !== null)?.identity;
  if (!owner) return looks;
  return Promise.all(
    looks.map(async (one) => {
      if (one.identity !== null || one.error !== null) return one;
      const identity = await finishFormat(parts, one.path, owner);
      if (identity !== null) parts.logger.info("a drive was made to its end: the start before was stopped", { path: one.path });
      return { ...one, identity };
    }),
  );
}

async function openKnown(
  parts: OpenDrivesParts,
  looks: readonly Look[],
  { isDegraded }: OpenDrivesOptions,
): Promise<{ list: Drive[]; unusable: UnusableDrive[]; book: readonly BookEntry[] }> {
  const owner = looks.find(({ identity }) => identity !== null)?.identity;
  if (owner === null || owner === undefined)
    throw looks.find(({ error }) => error !== null)?.error ?? new CfsError("INVALID", "no drive can be used");
  const book =
    (
      await readBook(
        looks.filter(({ identity }) => identity !== null).map(({ path }) => path),
        owner.nodeId,
      )
    )?.drives ?? [];
  const wanted = looks.filter((one) => !isRemoved(one, book));
  for (const { path } of looks.filter((one) => isRemoved(one, book)))
    parts.logger.warn("a drive that is named was removed from this node and is left alone", { path });
  const paths = [...wanted.map(({ path }) => path), ...(await joinedLater(parts, wanted, book))];
  if (!isDegraded) return { list: await openNamed(parts, wanted, paths), unusable: [], book };
  return { ...(await openUsable(parts, wanted, paths, owner)), book };
}

/** True when the list of drives says that this one was removed, and no other drive was seen there since. */
function isRemoved({ path, identity }: Look, book: readonly BookEntry[]): boolean {
  if (identity !== null) return book.some(({ driveId, state }) => driveId === identity.driveId && state === "removed");
  const entries = book.filter((entry) => entry.path === path);
  return entries.length > 0 && entries.every(({ state }) => state === "removed");
}

/** Drives that were added while the server ran and still are where they were then. */
async function joinedLater(parts: OpenDrivesParts, named: readonly Look[], book: readonly BookEntry[]): Promise<string[]> {
  const known = new Set(named.flatMap(({ identity }) => (identity === null ? [] : [identity.driveId as string])));
  const paths = new Set(named.map(({ path }) => path));
  const found: string[] = [];
  for (const { driveId, path, state } of book) {
    if (state === "removed" || known.has(driveId) || paths.has(path)) continue;
    const { identity } = await look(parts, path);
    if (identity?.driveId !== driveId) continue;
    parts.logger.info("a drive that was added later is used as well", { path, drive: driveId });
    found.push(path);
  }
  return found;
}

async function openNamed(parts: OpenDrivesParts, wanted: readonly Look[], paths: readonly string[]): Promise<Drive[]> {
  const unusable = wanted.find(({ error }) => error !== null);
  if (unusable?.error) throw withStep(unusable.error);
  try {
    return await openExisting(parts, paths, null);
  } catch (reason) {
    // An empty directory, as where a drive is not mounted.
    throw CfsError.from(reason).code === "NOT_FOUND" ? withStep(CfsError.from(reason)) : reason;
  }
}

/** The commands that mend a drive need a server that runs. */
function withStep(error: CfsError): CfsError {
  if (isRefusedAlways(error)) return error;
  return new CfsError(error.code, error.message.replace(/^[A-Z_]+: /, ""), {
    cause: error,
    details: { next: "mend it, or start without it: --degraded; then: cfs admin drive add (it is back, or a new one) or replace" },
  });
}

/** Mistakes that `--degraded` does not pass over: a drive of others, one in use, one of a newer format. */
function isRefusedAlways({ code }: CfsError): boolean {
  return code === "INVALID" || code === "BUSY" || code === "NOT_SUPPORTED";
}

/** Each by itself: what cannot be opened is told and left out. Drives of other clusters and nodes are a mistake in any case. */
async function openUsable(
  parts: OpenDrivesParts,
  wanted: readonly Look[],
  paths: readonly string[],
  owner: DriveIdentity,
): Promise<{ list: Drive[]; unusable: UnusableDrive[] }> {
  const list: Drive[] = [];
  const unusable: UnusableDrive[] = [];
  try {
    for (const path of paths) {
      try {
        const failed = wanted.find((one) => one.path === path)?.error;
        if (failed) throw failed;
        list.push(await Drive.open(parts, path, { clusterId: owner.clusterId, nodeId: owner.nodeId }));
      } catch (reason) {
        const error = CfsError.from(reason);
        if (isRefusedAlways(error)) throw error;
        const message = error.message.replace(/^[A-Z_]+: /, "");
        parts.logger.warn("a drive cannot be used and is left out", { path, reason: message });
        unusable.push({ path, reason: message });
      }
    }
  } catch (reason) {
    for (const drive of list) drive.close();
    throw reason;
  }
  return { list, unusable };
}

async function format(parts: OpenDrivesParts, paths: readonly string[]): Promise<Drive[]> {
  const { io, random, logger } = parts;
  for (const path of paths) await checkNew(io, path);
  const id = (): string => Buffer.from(random.bytes(new Uint8Array(16))).toString("hex");
  const owner = { clusterId: id() as ClusterId, nodeId: id() as NodeId };
  const prepared: PreparedDrive[] = [];
  const drives: Drive[] = [];
  try {
    for (const path of paths) prepared.push(await Drive.prepare(parts, path, owner));
    for (const drive of prepared) drives.push(await drive.commit());
  } catch (reason) {
    for (const drive of prepared) drive.cancel();
    throw reason;
  }
  logger.info("a new cluster was made", { clusterId: owner.clusterId, drives: drives.length });
  return drives;
}
