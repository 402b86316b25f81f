/**
 * Which drives hold the fragments of a segment, and how many fragments there are.
 *
 * Rendezvous hashing (Thaler and Ravishankar 1998): each drive gets a score from its index and the segment's number, the highest win. A drive
 * that comes or goes moves only what must move. The score is MurmurHash3's 32-bit finalizer of both.
 */

export interface Layout {
  readonly k: number;
  readonly m: number;
}

/**
 * k+m for a number of healthy drives (architecture section 6). Null without any. Where drives are missing of a node that has `memberCount` of them
 * and stores 4+2, what is written meanwhile still survives the loss of two, as long as four are left.
 */
export function layoutFor(driveCount: number, memberCount: number = driveCount): Layout | null {
  if (driveCount >= 6) return { k: 4, m: 2 };
  if (driveCount >= 4 && memberCount >= 6) return { k: driveCount - 2, m: 2 };
  if (driveCount >= 3) return { k: 2, m: 1 };
  if (driveCount === 2) return { k: 1, m: 1 };
  return driveCount === 1 ? { k: 1, m: 0 } : null;
}

/** `count` different drives for a segment, best first; null when there are not that many. */
export function chooseDrives(drives: readonly number[], count: number, segment: number): number[] | null {
  if (drives.length < count) return null;
  return drives
    .map((drive) => ({ drive, score: mix(drive, segment) }))
    .sort((a, b) => b.score - a.score || a.drive - b.drive)
    .slice(0, count)
    .map(({ drive }) => drive);
}

function mix(drive: number, segment: number): number {
  let hash = Math.imul(drive + 1, 0x9e37_79b1) ^ Math.imul(segment % 0x1_0000_0000, 0x85eb_ca6b) ^ Math.floor(segment / 0x1_0000_0000);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
