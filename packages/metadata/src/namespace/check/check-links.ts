/** Every name leads to an inode of its kind, every inode has as many names as it says, and every directory hangs on the root. */
import { rootInode, slotCount } from "@cfs/core";
import type { InodeNumber } from "@cfs/core";
import type { KvEntry } from "../../kv/ordered-kv.ts";
import { inodeKey, parseDirentKey, parseNumberKey } from "../keys.ts";
import { decodeDirent, decodeInode } from "../record-format.ts";
import type { FileKind, Inode } from "../records.ts";
import type { CheckRun, ProblemMend } from "./check.ts";
import { inodeMend } from "./check-tree.ts";
import { decodeOr, pagesOf } from "./stream.ts";

interface Names {
  count: number;
  readonly kind: FileKind;
  /** The directory of the last name seen. */
  parent: InodeNumber;
}

function addName(run: CheckRun, names: Map<number, Names>, entry: KvEntry, isMine: (ino: number) => boolean): void {
  const dirent = decodeOr(run, entry, decodeDirent);
  if (dirent === null || !isMine(dirent.ino)) return;
  const { parent } = parseDirentKey(entry.key);
  const known = names.get(dirent.ino);
  if (known === undefined) {
    names.set(dirent.ino, { count: 1, kind: dirent.kind, parent });
    return;
  }
  known.count += 1;
  known.parent = parent;
  if (known.kind !== dirent.kind)
    run.report("directory", parent, `an entry of inode ${dirent.ino} says ${dirent.kind}, another says ${known.kind}`);
}

function compare(run: CheckRun, inode: Inode, names: Names | undefined): void {
  const count = names?.count ?? 0;
  if (names !== undefined && names.kind !== inode.kind)
    run.report("inode", inode.ino, `is a ${inode.kind}, but its name says ${names.kind}`);
  if (inode.kind !== "directory") {
    if (inode.nlink !== count)
      run.report("inode", inode.ino, `counts ${inode.nlink} links and has ${count} names`, ...linkMends(inode, count));
    return;
  }
  const expected = inode.nlink === 0 || inode.ino === rootInode ? 0 : 1;
  if (count !== expected)
    run.report(
      "inode",
      inode.ino,
      `a directory has ${count} names and should have ${expected}`,
      ...(count === 0 ? [{ kind: "reconnect", ino: inode.ino } as const] : []),
    );
  if (names !== undefined && names.parent !== inode.parent)
    run.report(
      "inode",
      inode.ino,
      `its parent is ${names.parent}, its record says ${inode.parent}`,
      ...(count === 1 ? [inodeMend(inode.ino, { parent: names.parent })] : []),
    );
}

/** Without a name it gets one, because its bytes may be all that is left; with more or fewer than it counts, the count follows. */
function linkMends(inode: Inode, count: number): ProblemMend[] {
  if (count === 0) return [{ kind: "reconnect", ino: inode.ino }];
  return [inodeMend(inode.ino, { nlinkDelta: count - inode.nlink }), { kind: "marks", ino: inode.ino }];
}

export async function checkLinks(run: CheckRun): Promise<void> {
  const passes = Math.max(1, Math.ceil(run.usage.inodes / run.limits.inodesPerPass));
  for (let pass = 0; pass < passes; pass++) {
    const isMine = (ino: number): boolean => Math.floor(ino / slotCount) % passes === pass;
    const names = new Map<number, Names>();
    for await (const page of pagesOf(run.kv, "D")) for (const entry of page) addName(run, names, entry, isMine);
    for await (const page of pagesOf(run.kv, "I")) {
      for (const entry of page) {
        const ino = parseNumberKey(entry.key);
        if (!isMine(ino)) continue;
        const inode = decodeOr(run, entry, decodeInode);
        if (inode !== null) compare(run, inode, names.get(ino));
        names.delete(ino);
      }
    }
    if (names.size > 0) await reportDangling(run, names);
  }
}

/** Once more through all entries, because only few of them are wanted by name. */
async function reportDangling(run: CheckRun, missing: ReadonlyMap<number, Names>): Promise<void> {
  for await (const page of pagesOf(run.kv, "D")) {
    for (const entry of page) {
      const dirent = decodeOr(run, entry, decodeDirent);
      if (dirent === null || !missing.has(dirent.ino)) continue;
      const { parent, name } = parseDirentKey(entry.key);
      run.report(
        "directory",
        parent,
        `the entry "${Buffer.from(name, "latin1").toString("utf8")}" leads to inode ${dirent.ino}, which does not exist`,
      );
      if (run.missing.size < run.limits.problemsMax) run.missing.add(dirent.ino);
    }
  }
}

const rootedMax = 100_000;

/** Walks up from every directory; directories seen to hang on the root are remembered, some of them. */
export async function checkRooted(run: CheckRun): Promise<void> {
  let rooted = new Set<number>([rootInode]);
  for await (const page of pagesOf(run.kv, "I")) {
    for (const entry of page) {
      const inode = decodeOr(run, entry, decodeInode);
      if (inode?.kind !== "directory" || inode.nlink === 0) continue;
      const path = pathToRoot(run, inode, rooted);
      if (path === null) run.report("inode", inode.ino, "a directory does not hang on the root");
      else for (const ino of path) rooted.add(ino);
      if (rooted.size > rootedMax) rooted = new Set([rootInode]);
    }
  }
}

/** The directories from here to one that is known to be rooted; null when the way up ends or goes in a circle. */
function pathToRoot(run: CheckRun, directory: Inode, rooted: ReadonlySet<number>): Set<number> | null {
  const path = new Set<number>();
  let at = directory;
  while (!rooted.has(at.ino)) {
    if (path.has(at.ino) || at.parent === 0) return null;
    path.add(at.ino);
    const bytes = run.kv.get(inodeKey(at.parent));
    const up = bytes === null ? null : decodeOr(run, { key: inodeKey(at.parent), value: bytes }, decodeInode);
    if (up === null) return null;
    at = up;
  }
  return path;
}
