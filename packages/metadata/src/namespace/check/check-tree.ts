/** Inodes one by one with what hangs on them: entries of directories, extended attributes, inline data, the orphan list. */
import { slotCount } from "@cfs/core";
import type { InodeNumber } from "@cfs/core";
import type { KvEntry } from "../../kv/ordered-kv.ts";
import { nameHash } from "../cookie.ts";
import { inodeKey, orphanKey, parseDirentKey, parseNumberKey, parseXattrKey, sessionKey, xattrNameBytes } from "../keys.ts";
import { decodeDirent, decodeInode, decodeOrphan } from "../record-format.ts";
import type { Inode } from "../records.ts";
import type { CheckRun, ProblemMend } from "./check.ts";
import { decodeOr, Follower, pagesOf } from "./stream.ts";

interface Around {
  entries: number;
  directories: number;
  xattrs: Set<string>;
}

/** Entries and attributes that come up to this inode; those of smaller numbers have no inode. */
async function gather(run: CheckRun, dirents: Follower, xattrs: Follower, ino: number): Promise<Around> {
  const around: Around = { entries: 0, directories: 0, xattrs: new Set() };
  await dirents.take(ino, (parent, entry) => {
    if (parent !== ino) return run.report("directory", parent, "has entries but no inode");
    countEntry(run, entry, around);
    return undefined;
  });
  await xattrs.take(ino, (owner, entry) => {
    if (owner !== ino)
      run.report("inode", owner, "has an extended attribute but no inode", {
        kind: "xattrs",
        ino: owner as InodeNumber,
        names: [xattrNameOf(parseXattrKey(entry.key).nameBytes)],
      });
    else around.xattrs.add(parseXattrKey(entry.key).nameBytes);
  });
  return around;
}

function countEntry(run: CheckRun, entry: KvEntry, around: Around): void {
  const { parent, hash, name } = parseDirentKey(entry.key);
  const dirent = decodeOr(run, entry, decodeDirent);
  if (hash !== nameHash(name)) run.report("directory", parent, `an entry of inode ${dirent?.ino ?? 0} lies under the wrong hash`);
  around.entries += 1;
  if (dirent?.kind === "directory") around.directories += 1;
}

function xattrNameOf(nameBytes: string): string {
  return Buffer.from(nameBytes, "latin1").toString("utf8");
}

/** An item that changes counts of an inode by differences. */
export function inodeMend(
  ino: InodeNumber,
  change: Partial<{ nlinkDelta: number; entryDelta: number; allocatedDelta: number; parent: InodeNumber }>,
): ProblemMend {
  return { kind: "inode", ino, nlinkDelta: 0, entryDelta: 0, allocatedDelta: 0, parent: 0, ...change };
}

function checkInode(run: CheckRun, inode: Inode, around: Around): void {
  const report = (message: string, ...mends: readonly ProblemMend[]): void => run.report("inode", inode.ino, message, ...mends);
  const count = Math.floor(inode.ino / slotCount);
  if (count >= run.superblock.nextInodeCount)
    report("its number was never given out", { kind: "counters", nextInodeCount: count + 1, nextSegment: 0 });
  if (inode.kind === "directory") {
    if (inode.entryCount !== around.entries)
      report(
        `a directory counts ${inode.entryCount} entries and has ${around.entries}`,
        inodeMend(inode.ino, { entryDelta: around.entries - inode.entryCount }),
      );
    const links = inode.nlink === 0 ? 0 : 2 + around.directories;
    if (inode.nlink !== links)
      report(`a directory has ${inode.nlink} links and should have ${links}`, inodeMend(inode.ino, { nlinkDelta: links - inode.nlink }));
    if (inode.nlink === 0 && around.entries > 0) report("a removed directory has entries");
  } else if (around.entries > 0) {
    report("has entries but is no directory");
  }
  const names = new Set(inode.xattrNames.map(xattrNameBytes));
  if (names.size !== around.xattrs.size || [...names].some((name) => !around.xattrs.has(name))) {
    report(`names ${names.size} extended attributes, ${around.xattrs.size} are stored, and they differ`, {
      kind: "xattrs",
      ino: inode.ino,
      names: [...new Set([...inode.xattrNames, ...[...around.xattrs].map(xattrNameOf)])],
    });
  }
  if (inode.inlineBytes > inode.sizeBytes) report(`holds ${inode.inlineBytes} inline bytes but its size is ${inode.sizeBytes}`);
  if (inode.inlineBytes > 0 && inode.inline === null) report("its inline bytes are missing");
  if (!inode.hasExtents && inode.allocatedBytes !== inode.inlineBytes)
    report(
      `counts ${inode.allocatedBytes} allocated bytes and has ${inode.inlineBytes} inline`,
      inodeMend(inode.ino, { allocatedDelta: inode.inlineBytes - inode.allocatedBytes }),
    );
  const isListed = run.kv.get(orphanKey(inode.ino)) !== null;
  if (isListed !== (inode.nlink === 0))
    report(isListed ? "is listed as an orphan but has links" : "has no links but is not listed as an orphan", {
      kind: isListed ? "marks" : "reap",
      ino: inode.ino,
    });
}

export async function checkTree(run: CheckRun): Promise<void> {
  const dirents = new Follower(run.kv, "D", (key) => parseDirentKey(key).parent);
  const xattrs = new Follower(run.kv, "X", (key) => parseXattrKey(key).ino);
  for await (const page of pagesOf(run.kv, "I")) {
    for (const entry of page) {
      const inode = decodeOr(run, entry, decodeInode);
      const around = await gather(run, dirents, xattrs, parseNumberKey(entry.key));
      if (inode === null) continue;
      if (inode.ino !== parseNumberKey(entry.key)) run.report("inode", inode.ino, "lies under another inode's key");
      run.usage.inodes += 1;
      run.usage.allocatedBytes += inode.allocatedBytes;
      checkInode(run, inode, around);
    }
  }
  await gather(run, dirents, xattrs, Infinity);
  for await (const page of pagesOf(run.kv, "O")) {
    for (const entry of page) {
      const ino = parseNumberKey(entry.key) as InodeNumber;
      const owner = decodeOr(run, entry, decodeOrphan);
      if (run.kv.get(inodeKey(ino)) === null) run.report("orphan", ino, "is listed but has no inode", { kind: "marks", ino });
      else if (owner !== null && run.kv.get(sessionKey(owner)) === null)
        run.report("orphan", ino, "is held open by a session that has ended", { kind: "reap", ino });
    }
  }
}
