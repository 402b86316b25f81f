/**
 * identity.json at the root of every drive: whose it is. A drive without it, or with another's, is refused, so that data is never written
 * into a directory whose drive is not mounted, nor into another cluster's drive.
 *
 * It is written as identity.json.tmp and gets its name when every drive that is made with it has come so far: whoever is stopped in between can tell
 * by the pending ones which drives still belong to those that have a name.
 *
 * { "format": 1, "clusterId": 32 hex, "nodeId": 32 hex, "driveId": 32 hex, "createdAt": ISO time }   (more members may follow: they are kept out)
 */
import { CfsError } from "@cfs/core";
import type { ClusterId, DriveId, NodeId } from "@cfs/core";

import type { Io } from "./io.ts";
import { openPlain } from "./io.ts";

/** What an identity is called until all drives of a new node have theirs. */
const pendingName = "identity.json.tmp";
export const identityName = "identity.json";
export const driveFormat = 1;
/** An identity is far smaller; more is no identity. */
const identityBytesMax = 65_536;
const idPattern = /^[0-9a-f]{32}$/;

export interface DriveIdentity {
  readonly format: number;
  readonly clusterId: ClusterId;
  readonly nodeId: NodeId;
  readonly driveId: DriveId;
  readonly createdAt: string;
}

export function parseIdentity(text: string, path: string): DriveIdentity {
  const damaged = (what: string): CfsError =>
    new CfsError(
      "CORRUPT",
      `${path} is no identity of a drive: ${what}. Put back a copy of it, or replace the drive and let it be filled again`,
    );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CfsError("CORRUPT", damaged("it is no JSON").message.replace(/^CORRUPT: /, ""), { cause });
  }
  if (typeof value !== "object" || value === null) throw damaged("it is no object");
  const fields = value as Readonly<Record<string, unknown>>;
  const { format, clusterId, nodeId, driveId, createdAt } = fields as Readonly<
    Record<"format" | "clusterId" | "nodeId" | "driveId" | "createdAt", unknown>
  >;
  if (typeof format !== "number" || !Number.isSafeInteger(format) || format < 1) throw damaged("its format is no number");
  if (format > driveFormat) {
    throw new CfsError(
      "NOT_SUPPORTED",
      `${path} has format ${format}, this cfs knows up to ${driveFormat}; start the cfs that wrote it, or a newer one`,
    );
  }
  for (const [name, id] of Object.entries({ clusterId, nodeId, driveId })) {
    if (typeof id !== "string" || !idPattern.test(id)) throw damaged(`its ${name} is not 32 hex digits`);
  }
  if (typeof createdAt !== "string") throw damaged("its createdAt is missing");
  return { format, clusterId: clusterId as ClusterId, nodeId: nodeId as NodeId, driveId: driveId as DriveId, createdAt };
}

export function readIdentity(io: Io, directory: string): Promise<DriveIdentity> {
  return readFrom(io, `${directory}/${identityName}`);
}

/** Null where there is none, or what is there was not written to its end. */
export async function readPendingIdentity(io: Io, directory: string): Promise<DriveIdentity | null> {
  return readFrom(io, `${directory}/${pendingName}`).catch((reason: unknown) => {
    const { code } = CfsError.from(reason);
    if (code === "NOT_FOUND" || code === "CORRUPT") return null;
    throw reason;
  });
}

async function readFrom(io: Io, path: string): Promise<DriveIdentity> {
  const file = await io.open(path, { ...openPlain, readOnly: true });
  try {
    const bytes = Buffer.alloc(Math.min(file.sizeBytes, identityBytesMax));
    const count = await io.read(file, bytes, 0);
    return parseIdentity(bytes.toString("utf8", 0, count), path);
  } finally {
    await io.close(file);
  }
}

/** Durable, but no identity yet. */
export async function writePendingIdentity(io: Io, directory: string, identity: DriveIdentity): Promise<void> {
  const file = await io.open(`${directory}/${pendingName}`, { ...openPlain, create: true });
  try {
    await io.truncate(file, 0);
    await io.write(file, [Buffer.from(`${JSON.stringify(identity, null, 2)}\n`)], 0);
    await io.syncData(file);
  } finally {
    await io.close(file);
  }
  await io.syncDirectory(directory);
}

/** Atomic and durable: from now on the directory is a drive. */
export function commitIdentity(io: Io, directory: string): Promise<void> {
  return io.rename(`${directory}/${pendingName}`, `${directory}/${identityName}`);
}
