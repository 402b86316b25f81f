/**
 * The end of an inode: the last name goes, then (when no session holds it open any more) the inode with all that hangs on it.
 *
 * Invariant: an inode with nlink 0 is on the orphan list of the session that took its last name, until that session reaps it.
 * Content of more than a few regions is not dropped in the same command: it becomes a zombie that dropContent empties step by step.
 */
import { Accounts } from "./content/accounting.ts";
import { lessen, sums } from "./counters.ts";
import { dropRegions } from "./content/file-ranges.ts";
import type { Moment, Reap } from "./commands.ts";
import { done } from "./outcome.ts";
import type { Inode } from "./records.ts";
import type { ApplyContext, ContentState, Outcome, State } from "./state.ts";

/** A file of up to this many MiB goes in one command; larger ones would hold up the state machine. */
export const dropAtOnceRegionsMax = 8;

function regionCountUpTo(content: ContentState, inode: Inode, max: number): number {
  let count = 0;
  for (const run of content.runs(inode.ino)?.runs ?? []) {
    count += run.end - run.begin;
    if (count > max) break;
  }
  return count;
}

function dropContentOf(content: ContentState, inode: Inode): void {
  const usage = content.usage();
  content.setUsage(usage);
  usage.inodes = lessen(content, usage.inodes, 1, sums.inodes);
  usage.allocatedBytes = lessen(content, usage.allocatedBytes, inode.allocatedBytes, sums.allocatedBytes);
  if (!inode.hasExtents) return;
  const regions = regionCountUpTo(content, inode, dropAtOnceRegionsMax);
  if (regions > dropAtOnceRegionsMax) {
    content.setZombie(inode.ino, true);
  } else if (regions > 0) {
    const accounts = new Accounts(content);
    dropRegions(content, accounts, inode.ino, regions);
    accounts.finish(null);
  }
}

function destroyInode(state: State, inode: Inode): void {
  for (const name of inode.xattrNames) state.setXattr(inode.ino, name, null);
  if (state.content !== null) dropContentOf(state.content, inode);
  state.removeInode(inode);
}

/** One name less. A directory has only one, and with it go the links of "." and of its parent's count (the caller's work). */
export function dropLink(state: State, inode: Inode, time: Moment, context: ApplyContext): void {
  const nlink = inode.kind === "directory" ? 0 : lessen(state.content, inode.nlink, 1, "the number of links of inode", inode.ino);
  if (nlink === 0 && context.clientId === null) {
    destroyInode(state, inode);
    return;
  }
  state.changeInode(inode);
  inode.nlink = nlink;
  inode.ctimeSec = time.sec;
  inode.ctimeNsec = time.nsec;
  if (nlink === 0) state.setOrphan(inode.ino, context.clientId);
}

/** No error for an inode that is gone or has links again: the sender could not know. */
export function reap(state: State, command: Reap): Outcome {
  const inode = state.inode(command.ino);
  if (inode === null || inode.nlink > 0) return done;
  state.setOrphan(inode.ino, null);
  destroyInode(state, inode);
  return done;
}
