/** Every name of the whole tree, page by page in the order of directories: for the search of paths by inode number. */
import type { InodeNumber, Name } from "@cfs/core";
import type { KvKey, OrderedKv } from "../kv/ordered-kv.ts";
import * as keys from "./keys.ts";
import { decodeDirent, decodeInode } from "./record-format.ts";

export interface PlacedDirent {
  readonly parent: InodeNumber;
  readonly name: Name;
  readonly ino: InodeNumber;
}

export interface DirentPage {
  readonly dirents: readonly PlacedDirent[];
  /** Where the next page begins; null at the end. */
  readonly next: KvKey | null;
}

/** `from` null: from the first. */
export async function listAllDirents(kv: OrderedKv, from: KvKey | null, limit: number): Promise<DirentPage> {
  const { begin, end } = keys.kindRange("D");
  const entries = await kv.scan({ begin: from ?? begin, end, limit });
  const dirents = entries.map(({ key, value }) => {
    const { parent, name } = keys.parseDirentKey(key);
    return { parent, name, ino: decodeDirent(value).ino };
  });
  const last = entries.at(-1);
  return { dirents, next: last === undefined || entries.length < limit ? null : keys.keyAfter(last.key) };
}

/** The directory that holds this directory; null when the inode is none or not there. */
export function parentOf(kv: OrderedKv, ino: InodeNumber): InodeNumber | null {
  const bytes = kv.get(keys.inodeKey(ino));
  const parent = bytes === null ? 0 : decodeInode(bytes).parent;
  return parent === 0 ? null : parent;
}
