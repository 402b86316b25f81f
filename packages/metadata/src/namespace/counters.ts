/**
 * Counters go down, but never below zero: a record with a negative number could not be written, and with the record would go what it describes.
 *
 * A counter that would has been wrong before. That is noted for fsck, and stops nobody (see content/accounting.ts).
 */
import type { Inode, Usage } from "./records.ts";
import type { ContentState } from "./state.ts";

/** What the sums of usage are called. */
export const sums: Readonly<Record<keyof Usage, string>> = {
  inodes: "the sum of inodes",
  allocatedBytes: "the sum of allocatedBytes",
  segmentLiveBytes: "the sum of segmentLiveBytes",
  segmentStoredBytes: "the sum of segmentStoredBytes",
  fragmentBytes: "the sum of fragmentBytes",
  segments: "the sum of segments",
  journalLiveBytes: "the sum of journalLiveBytes",
  reservedBytes: "the sum of reservedBytes",
};

/** `count` less `by`, at least 0. `what` and `id` name the counter. `content` null: a partial state, where nothing is noted. */
export function lessen(content: ContentState | null, count: number, by: number, what: string, id: number | null = null): number {
  if (count >= by) return count - by;
  content?.noteDamage(`${what}${id === null ? "" : ` ${id}`} was too small by ${by - count}`);
  return 0;
}

/** A directory has a name less. */
export function loseEntry(content: ContentState | null, directory: Inode): void {
  directory.entryCount = lessen(content, directory.entryCount, 1, "the number of entries of directory", directory.ino);
}

/** A directory has a subdirectory less. */
export function loseSubdirectory(content: ContentState | null, directory: Inode): void {
  directory.nlink = lessen(content, directory.nlink, 1, "the number of links of directory", directory.ino);
}
