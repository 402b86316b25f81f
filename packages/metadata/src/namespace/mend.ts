/**
 * What a check of the whole state found wrong and can prove, put right through the log like any other change.
 *
 * A check counts a snapshot while commands go on. So a sum is mended by the difference that the check found: the state machine changes
 * sums by differences too, and both orders give the same. What is no sum (marks, lists, runs) is judged anew when the command is applied.
 * Invariant: an item that does not fit the state any more changes nothing; nothing that a file holds is ever dropped here.
 * Sums over sums: mending a record moves the sums that are made of it along, so their own differences are counted against the stored records.
 */
import { rootInode } from "@cfs/core";
import type { InodeNumber, Name, SegmentId } from "@cfs/core";
import { isCandidate, liveBytesOf, storedBytesOf } from "./content/accounting.ts";
import { done, fail } from "./outcome.ts";
import type { Inode, Usage } from "./records.ts";
import type { ContentState, Outcome, State } from "./state.ts";

/** Numbers on disk follow this order: names are only added, at the end. */
export const usageNames: readonly (keyof Usage)[] = [
  "inodes",
  "allocatedBytes",
  "segmentLiveBytes",
  "segmentStoredBytes",
  "fragmentBytes",
  "segments",
  "journalLiveBytes",
  "reservedBytes",
];

export interface ChunkDelta {
  readonly chunkIndex: number;
  readonly delta: number;
}

export type MendItem =
  | { readonly kind: "usage"; readonly name: keyof Usage; readonly delta: number }
  | {
      readonly kind: "inode";
      readonly ino: InodeNumber;
      readonly nlinkDelta: number;
      readonly entryDelta: number;
      readonly allocatedDelta: number;
      /** The directory that holds it; 0 leaves it. */
      readonly parent: InodeNumber | 0;
    }
  /** Its live bytes and its place among the candidates follow from the references. */
  | { readonly kind: "segment"; readonly segment: SegmentId; readonly refs: readonly ChunkDelta[] }
  | { readonly kind: "extentBytes"; readonly segment: SegmentId; readonly bytes: readonly ChunkDelta[] }
  | { readonly kind: "journal"; readonly fileId: number; readonly extentsDelta: number; readonly bytesDelta: number }
  /** The runs say of these regions whether they exist; empty ones go. */
  | { readonly kind: "regions"; readonly ino: InodeNumber; readonly indexes: readonly number[] }
  /** Whether it is an orphan, a zombie, has extents: judged from what there is. */
  | { readonly kind: "marks"; readonly ino: InodeNumber }
  /** Whether it has these attributes: judged from the values that are stored. */
  | { readonly kind: "xattrs"; readonly ino: InodeNumber; readonly names: readonly string[] }
  | { readonly kind: "counters"; readonly nextInodeCount: number; readonly nextSegment: number }
  /** A file or directory without a name gets one in the root directory: `nameOfLost`. */
  | { readonly kind: "reconnect"; readonly ino: InodeNumber };

export interface Mend {
  readonly type: "mend";
  readonly items: readonly MendItem[];
}

/** Items of one command at most: they bound the time of a turn. */
export const mendItemsMax = 256;

type Item<K extends MendItem["kind"]> = MendItem & { readonly kind: K };

export function nameOfLost(ino: InodeNumber): Name {
  return `lost+found-${ino}` as Name;
}

export function mend(state: State, command: Mend): Outcome {
  const { content } = state;
  if (content === null || content.superblock() === null) return fail("INVALID");
  for (const item of command.items) mendOne(state, content, item);
  return done;
}

function mendOne(state: State, content: ContentState, item: MendItem): void {
  switch (item.kind) {
    case "usage":
      return mendUsage(content, item.name, item.delta);
    case "inode":
      return mendInode(state, content, item);
    case "segment":
      return mendSegment(content, item.segment, item.refs, []);
    case "extentBytes":
      return mendSegment(content, item.segment, [], item.bytes);
    case "journal":
      return mendJournal(content, item);
    case "regions":
      return mendRegions(content, item);
    case "marks":
      return mendMarks(state, content, item.ino);
    case "xattrs":
      return mendXattrs(state, item);
    case "counters":
      return mendCounters(content, item);
    case "reconnect":
      return reconnect(state, item.ino);
  }
}

function mendUsage(content: ContentState, name: keyof Usage, delta: number): void {
  const usage = content.usage();
  if (delta === 0 || usage[name] + delta < 0) return;
  content.setUsage(usage);
  usage[name] += delta;
}

function mendInode(state: State, content: ContentState, item: Item<"inode">): void {
  const inode = state.inode(item.ino);
  if (inode === null) return;
  const nlink = inode.nlink + item.nlinkDelta;
  const entryCount = inode.entryCount + item.entryDelta;
  const allocatedBytes = inode.allocatedBytes + item.allocatedDelta;
  // A count of no links would make it an orphan: that is another finding, with another cure.
  if (nlink < 0 || (nlink === 0 && item.nlinkDelta !== 0) || entryCount < 0 || allocatedBytes < 0) return;
  state.changeInode(inode);
  inode.nlink = nlink;
  inode.entryCount = entryCount;
  inode.allocatedBytes = allocatedBytes;
  mendUsage(content, "allocatedBytes", item.allocatedDelta);
  if (item.parent !== 0 && inode.kind === "directory" && state.inode(item.parent)?.kind === "directory") inode.parent = item.parent;
}

function mendSegment(content: ContentState, id: SegmentId, refs: readonly ChunkDelta[], bytes: readonly ChunkDelta[]): void {
  const segment = content.segment(id);
  if (segment === null) return content.setCandidate(id, false);
  content.setSegment(id, segment);
  for (const { chunkIndex, delta } of refs) {
    const chunk = segment.chunks[chunkIndex];
    if (chunk !== undefined && chunk.refs + delta >= 0) chunk.refs += delta;
  }
  for (const { chunkIndex, delta } of bytes) {
    const chunk = segment.chunks[chunkIndex];
    if (chunk !== undefined && chunk.extentBytes + delta >= 0) chunk.extentBytes += delta;
  }
  let liveBytes = 0;
  for (const chunk of segment.chunks) liveBytes += liveBytesOf(chunk);
  mendUsage(content, "segmentLiveBytes", liveBytes - segment.liveBytes);
  segment.liveBytes = liveBytes;
  // Nothing is concluded from a record that was wrong: who needs it is looked for in all files.
  segment.isShared = true;
  return content.setCandidate(id, isCandidate(liveBytes, storedBytesOf(segment)));
}

function mendJournal(content: ContentState, { fileId, extentsDelta, bytesDelta }: Item<"journal">): void {
  const use = content.journalFile(fileId);
  const liveExtents = (use?.liveExtents ?? 0) + extentsDelta;
  const liveBytes = (use?.liveBytes ?? 0) + bytesDelta;
  if (liveExtents < 0 || liveBytes < 0) return;
  content.setJournalFile(fileId, liveExtents === 0 ? null : { fileId, liveExtents, liveBytes });
}

function mendRegions(content: ContentState, { ino, indexes }: Item<"regions">): void {
  for (const index of indexes) {
    const region = content.region(ino, index);
    if (region?.extents.length === 0) content.setRegion(ino, index, null);
    content.noteRegion(ino, index, region !== null && region.extents.length > 0);
  }
}

function mendMarks(state: State, content: ContentState, ino: InodeNumber): void {
  const inode = state.inode(ino);
  const hasContent = content.runs(ino) !== null;
  if (inode === null || inode.nlink > 0) state.setOrphan(ino, null);
  content.setZombie(ino, inode === null && hasContent);
  if (inode === null || !hasContent || inode.hasExtents || inode.inlineBytes > 0) return;
  state.changeInode(inode);
  inode.hasExtents = true;
}

function mendXattrs(state: State, { ino, names }: Item<"xattrs">): void {
  const inode = state.inode(ino);
  if (inode === null) {
    for (const name of names) state.setXattr(ino, name, null);
    return;
  }
  const known = new Set(inode.xattrNames);
  for (const name of names) {
    if (state.xattr(ino, name) === null) known.delete(name);
    else known.add(name);
  }
  state.changeInode(inode);
  inode.xattrNames = [...known].sort();
}

function mendCounters(content: ContentState, { nextInodeCount, nextSegment }: Item<"counters">): void {
  const superblock = content.superblock();
  if (superblock === null) return;
  content.setSuperblock(superblock);
  superblock.nextInodeCount = Math.max(superblock.nextInodeCount, nextInodeCount);
  superblock.nextSegment = Math.max(superblock.nextSegment, nextSegment);
}

function isNameless(inode: Inode): boolean {
  return inode.nlink > 0 && inode.ino !== rootInode;
}

function reconnect(state: State, ino: InodeNumber): void {
  const inode = state.inode(ino);
  const top = state.inode(rootInode);
  const name = nameOfLost(ino);
  if (inode === null || top === null || !isNameless(inode) || state.dirent(rootInode, name) !== null) return;
  state.changeInode(inode);
  state.changeInode(top);
  state.setDirent(rootInode, name, { ino, kind: inode.kind });
  top.entryCount += 1;
  if (inode.kind === "directory") {
    inode.parent = rootInode;
    top.nlink += 1;
  } else inode.nlink = 1;
}
