/**
 * The drives of a node at start: new ones are made only when all are new, otherwise each must be of this node.
 *
 * Invariant: nothing is written to any directory before all of them were looked at.
 */
import { readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { CfsError } from "@cfs/core";
import type { ClusterId, Logger, NodeId } from "@cfs/core";
import { Drive, openDrives as openExisting } from "@cfs/storage";
import type { DriveParts } from "@cfs/storage";

export interface OpenDrives {
  readonly clusterId: ClusterId;
  readonly nodeId: NodeId;
  /** In the order of the command line. */
  readonly list: readonly Drive[];
  /** True when the drives were made just now. */
  readonly isNew: boolean;
  close(): void;
}

export interface OpenDrivesParts extends DriveParts {
  readonly logger: Logger;
}

export async function openDrives(parts: OpenDrivesParts, data: readonly string[]): Promise<OpenDrives> {
  if (data.length === 0) throw new CfsError("INVALID", "a server needs at least one drive: --data DIR");
  const paths = data.map((path) => resolve(path));
  const twice = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twice !== undefined) throw new CfsError("INVALID", `${twice} is named twice with --data`);
  const known = await Promise.all(paths.map(hasIdentity));
  const isNew = known.every((isKnown) => !isKnown);
  const list = isNew ? await format(parts, paths) : await openExisting(parts, paths, null);
  const [first] = list;
  if (!first) throw new CfsError("INVALID", "no drive was opened");
  const { clusterId, nodeId } = first.identity;
  return {
    clusterId,
    nodeId,
    list,
    isNew,
    close: () => {
      for (const drive of list) drive.close();
    },
  };
}

async function hasIdentity(path: string): Promise<boolean> {
  try {
    return (await readdir(path)).includes("identity.json");
  } catch (reason) {
    const code = (reason as NodeJS.ErrnoException).code;
    if (code === "ENOENT") throw new CfsError("NOT_FOUND", `${path} does not exist; make it (mkdir -p ${path}), or mount the drive that belongs there`, { cause: reason });
    if (code === "ENOTDIR") throw new CfsError("NOT_DIRECTORY", `${path} is not a directory; --data takes directories`, { cause: reason });
    throw new CfsError(code === "EACCES" ? "ACCESS_DENIED" : "IO", `${path} cannot be read (${code ?? "unknown"})`, { cause: reason });
  }
}

async function format(parts: OpenDrivesParts, paths: readonly string[]): Promise<Drive[]> {
  const { random, logger } = parts;
  const id = (): string => Buffer.from(random.bytes(new Uint8Array(16))).toString("hex");
  const owner = { clusterId: id() as ClusterId, nodeId: id() as NodeId };
  const drives: Drive[] = [];
  try {
    for (const path of paths) drives.push(await Drive.format(parts, path, owner));
  } catch (reason) {
    for (const drive of drives) drive.close();
    throw reason;
  }
  logger.info("a new cluster was made", { clusterId: owner.clusterId, drives: drives.length });
  return drives;
}
