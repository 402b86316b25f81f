/**
 * Finds the paths of inodes: inodes do not know their names, so every name is looked at, in two passes over a snapshot of the state.
 *
 * Pass 1 finds the names of the wanted inodes, and by the parent that every directory knows, all directories above them; pass 2 finds the names
 * of those. Memory is bounded by what is wanted: one path for each inode (a hard link is named by the first of its names), `inodesMax` of them.
 */
import { rootInode } from "@cfs/core";
import type { InodeNumber } from "@cfs/core";
import { listAllDirents, parentOf } from "@cfs/metadata";
import type { OrderedKv, PlacedDirent } from "@cfs/metadata";

export const inodesMax = 10_000;
const pageEntries = 2_000;
/** Deeper than any path can be (4,095 bytes). */
const depthMax = 2_048;

/** Names are bytes; what is no UTF-8 is shown as `\xNN`. */
export function shownName(name: string): string {
  const bytes = Buffer.from(name, "latin1");
  const text = bytes.toString("utf8");
  // oxlint-disable-next-line no-control-regex
  if (Buffer.compare(Buffer.from(text, "utf8"), bytes) === 0) return text.replace(/[\0-\x1f\x7f]/g, escaped);
  // oxlint-disable-next-line no-control-regex
  return name.replace(/[\0-\x1f\x7f-\xff]/g, escaped);
}

function escaped(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

/** Paths from the root of the file system; an inode without a name (removed, or still open) is missing in the result. */
export async function findPaths(kv: OrderedKv, wanted: ReadonlySet<InodeNumber>, signal: AbortSignal): Promise<Map<InodeNumber, string>> {
  const files = await findNames(kv, wanted, signal);
  const ancestors = new Set<InodeNumber>();
  for (const { parent } of files.values()) addAncestors(kv, parent, ancestors);
  const directories = ancestors.size === 0 ? files : await findNames(kv, ancestors, signal);
  const paths = new Map<InodeNumber, string>();
  for (const [ino, dirent] of files) {
    const path = pathOf(dirent, directories);
    if (path !== null) paths.set(ino, path);
  }
  if (wanted.has(rootInode)) paths.set(rootInode, "/");
  return paths;
}

async function findNames(kv: OrderedKv, wanted: ReadonlySet<InodeNumber>, signal: AbortSignal): Promise<Map<InodeNumber, PlacedDirent>> {
  const found = new Map<InodeNumber, PlacedDirent>();
  for (let from: string | null = null; found.size < wanted.size;) {
    signal.throwIfAborted();
    const page = await listAllDirents(kv, from, pageEntries);
    for (const dirent of page.dirents) if (wanted.has(dirent.ino) && !found.has(dirent.ino)) found.set(dirent.ino, dirent);
    if (page.next === null) break;
    from = page.next;
  }
  return found;
}

function addAncestors(kv: OrderedKv, first: InodeNumber, ancestors: Set<InodeNumber>): void {
  let at: InodeNumber | null = first;
  while (at !== null && at !== rootInode && !ancestors.has(at)) {
    ancestors.add(at);
    at = parentOf(kv, at);
  }
}

function pathOf(dirent: PlacedDirent, directories: ReadonlyMap<InodeNumber, PlacedDirent>): string | null {
  const names = [shownName(dirent.name)];
  let parent = dirent.parent;
  for (let depth = 0; parent !== rootInode; depth++) {
    const above = directories.get(parent);
    if (above === undefined || depth > depthMax) return null;
    names.unshift(shownName(above.name));
    parent = above.parent;
  }
  return `/${names.join("/")}`;
}
