/**
 * The segment store of one node: k+m fragments of each segment on k+m drives, read back verified, rebuilt from any k.
 *
 * Invariant: bytes are returned only after the checksum of each 4 KiB block they lie in was right, or after they were rebuilt from blocks
 * whose checksums were right. The caller's segment record names places and generation; a fragment that says otherwise is not used.
 * A fragment that could not be read is reported once through `onDamage`, so that it is repaired in the background.
 */
import { CfsError, assert } from "@cfs/core";
import type { Logger } from "@cfs/core";
import type { FragmentPlace, Segment } from "@cfs/metadata";
import type { BufferPool } from "../device/buffer-pool.ts";
import type { Containers } from "./containers.ts";
import { FragmentHeaders } from "./fragment-headers.ts";
import type { FragmentCodec } from "./fragment-codec.ts";
import { chooseDrives, layoutFor } from "./placement.ts";
import type { Layout } from "./placement.ts";

export const blockBytes = 4096;

export interface StoredRange {
  readonly parts: readonly Uint8Array[];
  release(): void;
}

export interface Damage {
  readonly segment: Segment;
  readonly fragment: number;
  readonly reason: CfsError;
}

export interface SegmentStoreParts {
  readonly pool: BufferPool;
  readonly codec: FragmentCodec;
  readonly logger: Logger;
  readonly clusterId: string;
}

/** Counters for status and metrics; only ever grow. */
export interface SegmentStoreCounts {
  fragmentsWritten: number;
  bytesWritten: number;
  bytesRead: number;
  degradedReads: number;
  fragmentsRepaired: number;
  checksumErrors: number;
}

export class SegmentStore {
  readonly #parts: SegmentStoreParts;
  readonly #drives = new Map<number, Containers>();
  /** Drives that are read and no longer written: they leave, or became read-only. */
  readonly #closedToWrites = new Set<number>();
  readonly #headers: FragmentHeaders;
  readonly counts: SegmentStoreCounts = {
    fragmentsWritten: 0,
    bytesWritten: 0,
    bytesRead: 0,
    degradedReads: 0,
    fragmentsRepaired: 0,
    checksumErrors: 0,
  };
  /** Drives that the node should have, missing ones too. */
  memberCount = 0;
  onDamage: ((damage: Damage) => void) | null = null;
  /** A write to the drive failed: it is not to be trusted with new data. */
  onDriveFailed: ((drive: number, reason: CfsError) => void) | null = null;
  /** Asked when a drive is full, before that is told: true when space was found, so that the write is tried once more. */
  onDriveFull: ((drive: number) => Promise<boolean>) | null = null;

  constructor(parts: SegmentStoreParts) {
    this.#parts = parts;
    this.#headers = new FragmentHeaders(parts.pool, parts.codec, parts.clusterId);
  }

  addDrive(containers: Containers): void {
    this.#drives.set(containers.drive.index, containers);
    this.#closedToWrites.delete(containers.drive.index);
  }

  /** Nothing new is written to the drive from now on; what lies there is read until `removeDrive`. */
  closeToWrites(index: number): void {
    this.#closedToWrites.add(index);
  }

  /** The drive is gone for reads and writes. Returns its containers so that the owner closes them; null when it was not there. */
  removeDrive(index: number): Containers | null {
    const containers = this.#drives.get(index) ?? null;
    this.#drives.delete(index);
    this.#closedToWrites.delete(index);
    return containers;
  }

  /** k+m of what is written now; null without a healthy drive. */
  get layout(): Layout | null {
    return layoutFor(this.driveIndexes.length, this.memberCount);
  }

  /** The drives that take new data. */
  get driveIndexes(): readonly number[] {
    return [...this.#drives.keys()].filter((index) => !this.#closedToWrites.has(index));
  }

  isWritable(drive: number): boolean {
    return this.#drives.has(drive) && !this.#closedToWrites.has(drive);
  }

  /** Set aside on the drive for fragments to come. */
  unusedBytes(drive: number): number {
    return this.#drives.get(drive)?.unusedBytes ?? 0;
  }

  containersOf(drive: number): Containers | null {
    return this.#drives.get(drive) ?? null;
  }

  /**
   * Writes the fragments of a packed segment, each on a drive of its own, and resolves when they are on stable storage.
   * `fragments` is borrowed: k+m times (header page and payload). When a drive fails meanwhile, another takes its place; when none is left, the
   * segment is stored as long as at least one fragment more than k is on stable storage (k+m when m is 0), else the write fails: NO_SPACE when full drives are among them, otherwise IO.
   */
  async write(id: number, k: number, m: number, fragmentBytes: number, fragments: Uint8Array): Promise<FragmentPlace[]> {
    const sizeBytes = fragmentBytes + blockBytes;
    assert(fragments.length >= (k + m) * sizeBytes, "all fragments are there");
    const healthy = this.driveIndexes;
    const chosen = chooseDrives(healthy, k + m, id);
    if (!chosen) throw new CfsError("IO", `${k}+${m} needs ${k + m} drives, ${healthy.length} are healthy`);
    const spares = healthy.filter((drive) => !chosen.includes(drive));
    let missing = 0;
    let fullDrives = 0;
    const places = await Promise.all(
      chosen.map(async (drive, index): Promise<FragmentPlace> => {
        const bytes = fragments.subarray(index * sizeBytes, (index + 1) * sizeBytes);
        let place: FragmentPlace = { drive, container: 0, offsetBytes: 0 };
        for (let target: number | undefined = drive; target !== undefined; target = spares.shift()) {
          const written = await this.#writeOne(target, bytes);
          if (written.isStable) return written.place;
          place = written.place;
          if (written.isFull) fullDrives++;
        }
        missing++;
        return place;
      }),
    );
    if (missing > Math.max(0, m - 1) && missing > 0) {
      const why = fullDrives > 0 ? `; ${fullDrives} drives are full` : "";
      throw new CfsError(fullDrives > 0 ? "NO_SPACE" : "IO", `segment ${id}: ${missing} of ${k + m} fragments could not be written${why}`);
    }
    this.counts.fragmentsWritten += k + m - missing;
    this.counts.bytesWritten += (k + m - missing) * sizeBytes;
    return places;
  }

  async #writeOne(drive: number, bytes: Uint8Array): Promise<{ place: FragmentPlace; isStable: boolean; isFull: boolean }> {
    // Container 0 never exists: the place of a fragment that was never written.
    let place: FragmentPlace = { drive, container: 0, offsetBytes: 0 };
    const containers = this.#drives.get(drive);
    if (!containers) return { place, isStable: false, isFull: false };
    try {
      place = await this.#allocate(containers, bytes.length);
      await containers.write(place, bytes);
      await containers.sync();
      return { place, isStable: true, isFull: false };
    } catch (reason) {
      const error = CfsError.from(reason);
      // A full drive is not a failed one.
      const isFull = error.code === "NO_SPACE";
      if (isFull) this.#parts.logger.warn("a drive is full", { drive, reason: error.message });
      else this.#driveFailed(drive, error);
      return { place, isStable: false, isFull };
    }
  }

  async #allocate(containers: Containers, sizeBytes: number): Promise<FragmentPlace> {
    try {
      return await containers.allocate(sizeBytes);
    } catch (reason) {
      const isMore = CfsError.from(reason).code === "NO_SPACE" && (await this.onDriveFull?.(containers.drive.index));
      if (!isMore) throw reason;
      return containers.allocate(sizeBytes);
    }
  }

  #driveFailed(drive: number, reason: CfsError): void {
    if (!this.#drives.has(drive)) return;
    this.#parts.logger.error("a drive failed on writing", { drive, reason: reason.message });
    this.onDriveFailed?.(drive, reason);
  }

  /** Reads [offset, offset+length) of the segment's payload. */
  async read(segment: Segment, offsetBytes: number, lengthBytes: number): Promise<StoredRange> {
    assert(lengthBytes > 0 && offsetBytes + lengthBytes <= segment.k * segment.fragmentBytes, "the range is inside the segment");
    const first = Math.floor(offsetBytes / segment.fragmentBytes);
    const last = Math.floor((offsetBytes + lengthBytes - 1) / segment.fragmentBytes);
    if (first === last) return this.#readPart(segment, first, offsetBytes - first * segment.fragmentBytes, lengthBytes);
    const pending: Promise<StoredRange>[] = [];
    for (let index = first; index <= last; index++) {
      const begin = Math.max(offsetBytes - index * segment.fragmentBytes, 0);
      const end = Math.min(offsetBytes + lengthBytes - index * segment.fragmentBytes, segment.fragmentBytes);
      pending.push(this.#readPart(segment, index, begin, end - begin));
    }
    return joinRanges(await Promise.allSettled(pending));
  }

  async #readPart(segment: Segment, index: number, beginBytes: number, lengthBytes: number): Promise<StoredRange> {
    const firstBlock = Math.floor(beginBytes / blockBytes);
    const blockCount = Math.ceil((beginBytes + lengthBytes) / blockBytes) - firstBlock;
    const buffer = await this.readBlocks(segment, index, firstBlock, blockCount);
    this.counts.bytesRead += lengthBytes;
    const begin = beginBytes - firstBlock * blockBytes;
    return { parts: [buffer.subarray(begin, begin + lengthBytes)], release: () => this.#parts.pool.give(buffer) };
  }

  /** Verified blocks of one fragment in a pool buffer that the caller gives back; rebuilt from the others where it must be. */
  async readBlocks(segment: Segment, index: number, firstBlock: number, blockCount: number): Promise<Uint8Array> {
    try {
      return await this.readOwnBlocks(segment, index, firstBlock, blockCount);
    } catch (reason) {
      const error = CfsError.from(reason);
      if (error.code === "NO_MEMORY") throw error;
      this.counts.degradedReads++;
      if (error.code === "CORRUPT") this.counts.checksumErrors++;
      this.onDamage?.({ segment, fragment: index, reason: error });
      return this.#rebuildBlocks(segment, index, firstBlock, blockCount, error);
    }
  }

  /** Verified blocks of one fragment from its own drive only. */
  async readOwnBlocks(segment: Segment, index: number, firstBlock: number, blockCount: number): Promise<Uint8Array> {
    const place = segment.places[index] as FragmentPlace;
    const containers = this.#mustHave(place.drive);
    const buffer = await this.#parts.pool.takeOrWait(blockCount * blockBytes);
    try {
      const known = this.#headers.known(segment, index);
      const reading = containers.read(place, blockBytes * (firstBlock + 1), buffer);
      const [header] = known ? [known, await reading] : await Promise.all([this.#headers.load(segment, index, containers), reading]);
      if (!this.#parts.codec.verifyBlocks(buffer, header.checksums, firstBlock, blockCount)) {
        const last = firstBlock + blockCount - 1;
        const where = firstBlock === last ? `block ${last}` : `blocks ${firstBlock} to ${last}`;
        throw new CfsError("CORRUPT", `wrong checksum in ${where} of a fragment`, { details: { segment: segment.id, fragment: index } });
      }
      return buffer;
    } catch (reason) {
      this.#parts.pool.give(buffer);
      throw reason;
    }
  }

  /** The same blocks of k other fragments give the wanted ones back. */
  async #rebuildBlocks(segment: Segment, index: number, firstBlock: number, blockCount: number, cause: CfsError): Promise<Uint8Array> {
    const { k, m } = segment;
    const present: (Uint8Array | null)[] = Array.from({ length: k + m }, () => null);
    const candidates = Array.from({ length: k + m }, (_, at) => at).filter((at) => at !== index);
    try {
      let have = 0;
      while (have < k) {
        const batch = candidates.splice(0, k - have);
        if (batch.length === 0) {
          throw new CfsError("IO", `segment ${segment.id}: only ${have} of the ${k} fragments that are needed can be read`, { cause });
        }
        const read = await Promise.allSettled(batch.map((at) => this.readOwnBlocks(segment, at, firstBlock, blockCount)));
        read.forEach((result, position) => {
          if (result.status === "rejected") return;
          present[batch[position] as number] = result.value;
          have++;
        });
      }
      const target = await this.#parts.pool.takeOrWait(blockCount * blockBytes);
      this.#parts.codec.rebuild(k, m, present, index, target);
      return target;
    } finally {
      for (const buffer of present) if (buffer) this.#parts.pool.give(buffer);
    }
  }

  /** Where a fragment may be written anew: its own drive when that is healthy, else one that holds no other fragment; null when there is none. */
  repairTarget(segment: Segment, index: number): number | null {
    const own = (segment.places[index] as FragmentPlace).drive;
    const taken = new Set(segment.places.filter((_, at) => at !== index).map((place) => place.drive));
    const free = this.driveIndexes.filter((drive) => !taken.has(drive));
    return free.includes(own) ? own : (chooseDrives(free, 1, segment.id)?.[0] ?? null);
  }

  /**
   * Writes a whole fragment anew, on the drive that `repairTarget` names: rebuilt from the others, or copied where only its drive leaves.
   * Resolves with the new place once it is on stable storage; null when no drive is free for it.
   */
  async repair(segment: Segment, index: number): Promise<FragmentPlace | null> {
    const own = (segment.places[index] as FragmentPlace).drive;
    const target = this.repairTarget(segment, index);
    const containers = target === null ? undefined : this.#drives.get(target);
    if (!containers) return null;
    const blockCount = segment.fragmentBytes / blockBytes;
    const whole = await this.#parts.pool.takeOrWait(segment.fragmentBytes + blockBytes);
    try {
      const isLeaving = this.#drives.has(own) && !this.isWritable(own);
      const rebuilt = isLeaving
        ? await this.readBlocks(segment, index, 0, blockCount)
        : await this.#rebuildBlocks(segment, index, 0, blockCount, new CfsError("IO", "repair was asked for"));
      try {
        whole.set(rebuilt, blockBytes);
      } finally {
        this.#parts.pool.give(rebuilt);
      }
      this.#parts.codec.sealFragment(whole, this.#headers.any(segment), index);
      const place = await this.#allocate(containers, whole.length);
      await containers.write(place, whole);
      await containers.sync();
      this.#headers.forget(segment, index);
      this.counts.fragmentsRepaired++;
      return place;
    } finally {
      this.#parts.pool.give(whole);
    }
  }

  /** Numbers of drives mean nothing to people: who reports the error says which drive it is. */
  #mustHave(drive: number): Containers {
    const containers = this.#drives.get(drive);
    if (!containers) throw new CfsError("NO_DEVICE", "the drive of a fragment is not there", { details: { drive } });
    return containers;
  }

  /** Reads the header of one fragment from its drive and compares it with the segment; throws what is wrong. */
  async checkHeader(segment: Segment, index: number): Promise<void> {
    const place = segment.places[index] as FragmentPlace;
    await this.#headers.load(segment, index, this.#mustHave(place.drive));
  }

  /** Reads a whole fragment, header and payload, from its own drive and verifies it; throws what is wrong. */
  async checkFragment(segment: Segment, index: number): Promise<void> {
    await this.checkHeader(segment, index);
    this.#parts.pool.give(await this.readOwnBlocks(segment, index, 0, segment.fragmentBytes / blockBytes));
  }

  /** Bytes of the segment's chunk table: any of its headers says so. */
  async tableBytes(segment: Segment): Promise<number> {
    let last: unknown = null;
    for (const [index, place] of segment.places.entries()) {
      const containers = this.#drives.get(place.drive);
      if (!containers) continue;
      try {
        return (this.#headers.known(segment, index) ?? (await this.#headers.load(segment, index, containers))).tableBytes;
      } catch (reason) {
        last = reason;
      }
    }
    throw new CfsError("IO", `segment ${segment.id}: no header can be read`, { cause: last });
  }

  /** Gives the space of one fragment back; a drive that is not there has nothing to give. */
  async free(place: FragmentPlace, fragmentBytes: number): Promise<void> {
    await this.#drives.get(place.drive)?.free(place, fragmentBytes + blockBytes);
  }

  async freeAll(segment: Segment): Promise<void> {
    this.#headers.forgetAll(segment);
    await Promise.all(segment.places.map((place) => this.free(place, segment.fragmentBytes)));
  }

  async close(): Promise<void> {
    for (const containers of this.#drives.values()) await containers.close();
    this.#drives.clear();
  }
}

function joinRanges(results: readonly PromiseSettledResult<StoredRange>[]): StoredRange {
  const ranges: StoredRange[] = [];
  let failed: PromiseRejectedResult | null = null;
  for (const result of results) {
    if (result.status === "fulfilled") ranges.push(result.value);
    else failed ??= result;
  }
  const release = (): void => {
    for (const range of ranges) range.release();
  };
  if (failed) {
    release();
    throw CfsError.from(failed.reason);
  }
  return { parts: ranges.flatMap((range) => range.parts), release };
}
