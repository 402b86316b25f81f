/**
 * The packer: moves data from the journal to segments, in the background, oldest first.
 *
 * For each journalled write it asks the state which parts still come from that record, takes their bytes, fills segments with them, and publishes the
 * swap by one command that holds only where the extents are still the current ones. Then the record's payload is no longer needed.
 * It runs when a segment is full of work, or when the oldest item has waited for `idleMs`, or when the journal is short of room.
 */
import { CfsError } from "@cfs/core";
import type { Clock, Logger } from "@cfs/core";
import { locate } from "@cfs/metadata";
import type { ExtentSource, KvState, ShardDriver, Swap } from "@cfs/metadata";
import type { Journal } from "@cfs/storage";
import type { PackItem, PackQueue } from "./pack-queue.ts";
import { segmentRawBytesMax } from "./segment-writer.ts";
import type { Piece, SegmentWriter } from "./segment-writer.ts";

/** Items of one segment at most: a segment of 4 KiB writes has 480. */
const itemsMax = 1024;
/** Table entry, origin and gap of a piece, at most on the average. */
const itemOverheadBytes = 512;
/** Segments packed at once. */
const inParallel = 3;

export interface PackerParts {
  readonly state: KvState;
  readonly driver: ShardDriver;
  readonly journal: Journal;
  readonly queue: PackQueue;
  readonly writer: SegmentWriter;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface PackerOptions {
  /** Packing begins when this much waits: several segments in a row share the syncs of the drives. */
  readonly fullBytes: number;
  /** How long journalled data waits for a segment to fill, milliseconds. */
  readonly idleMs: number;
  /** Wait before a failed attempt is made again, milliseconds. */
  readonly retryMs: number;
}

export const packerDefaults: PackerOptions = { fullBytes: 16 << 20, idleMs: 2_000, retryMs: 2_000 };

interface PackSource {
  readonly piece: Piece;
  readonly from: ExtentSource & { readonly kind: "journal" };
}

export class Packer {
  readonly #parts: PackerParts;
  readonly #options: PackerOptions;
  #running: Promise<void> | null = null;
  #cancelTimer: (() => void) | null = null;
  #isClosed = false;
  /** Segments published so far. */
  segmentsPacked = 0;

  constructor(parts: PackerParts, options: PackerOptions = packerDefaults) {
    this.#parts = parts;
    this.#options = options;
    parts.queue.onAdded = () => this.#wake();
  }

  #wake(): void {
    if (this.#isClosed || this.#running) return;
    if (this.#parts.queue.bytes >= this.#options.fullBytes) this.#start();
    else if (this.#parts.queue.length > 0) this.#cancelTimer ??= this.#parts.clock.after(this.#options.idleMs, () => this.#start());
  }

  #start(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    if (this.#running || this.#isClosed) return;
    this.#running = this.#packAll()
      .catch((reason: unknown) => this.#parts.logger.warn("packing failed and will be tried again", { reason: String(reason) }))
      .finally(() => {
        this.#running = null;
        this.#wake();
      });
  }

  /** Packs everything that waits now. */
  async drain(): Promise<void> {
    while (this.#running || this.#parts.queue.length > 0) {
      this.#start();
      await this.#running;
    }
  }

  /** A few segments at a time until nothing waits. */
  async #packAll(): Promise<void> {
    while (this.#parts.queue.length > 0 && !this.#isClosed) {
      const count = Math.min(inParallel, Math.ceil(this.#parts.queue.bytes / segmentRawBytesMax));
      await Promise.all(Array.from({ length: Math.max(1, count) }, () => this.#packOnce()));
    }
  }

  async #packOnce(): Promise<void> {
    const { queue, driver, writer } = this.#parts;
    const items = queue.take(writer.rawBytesMax, itemsMax, itemOverheadBytes);
    if (items.length === 0) return;
    try {
      const sources = await this.#gather(items);
      if (sources.length > 0) {
        const stored = await writer.write(sources.map(({ piece }) => piece));
        const swaps = sources.flatMap((source, index) => swapsOf(source, stored.extents[index] ?? []));
        const { place, outcome } = driver.propose({
          command: { type: "publish", segment: stored.segment, swaps },
          clientId: null,
          seq: 0,
          payload: [],
        });
        if (outcome.errno !== 0) throw new CfsError("IO", `publishing segment ${stored.segment.id} failed with errno ${outcome.errno}`);
        await driver.durable(place.index);
        this.segmentsPacked++;
      }
    } catch (reason) {
      queue.putBack(items);
      await new Promise<void>((resolve) => {
        this.#parts.clock.after(this.#options.retryMs, resolve);
      });
      throw reason;
    }
  }

  /** The parts of the items that are still current, with their bytes. */
  async #gather(items: readonly PackItem[]): Promise<PackSource[]> {
    const sources: PackSource[] = [];
    for (const item of items) {
      const current = this.#current(item);
      if (current.length === 0) continue;
      const bytes = await this.#parts.journal.readPayload(item.fileId, item.recordOffsetBytes);
      for (const { offsetBytes, lengthBytes, from } of current) {
        const views = [bytes.subarray(from.payloadOffsetBytes, from.payloadOffsetBytes + lengthBytes)];
        const last = sources.at(-1);
        // Ranges of one record that lie side by side are one piece, so that chunks are cut across region borders.
        if (
          last &&
          last.from.fileId === from.fileId &&
          last.from.recordOffsetBytes === from.recordOffsetBytes &&
          last.piece.ino === item.ino &&
          endsAt(last, offsetBytes, from)
        ) {
          sources[sources.length - 1] = {
            from: last.from,
            piece: { ...last.piece, lengthBytes: last.piece.lengthBytes + lengthBytes, views: [...last.piece.views, ...views] },
          };
        } else sources.push({ from, piece: { views, lengthBytes, ino: item.ino, offsetBytes } });
      }
    }
    return sources;
  }

  #current(item: PackItem): { offsetBytes: number; lengthBytes: number; from: ExtentSource & { kind: "journal" } }[] {
    const { state } = this.#parts;
    const inode = state.inode(item.ino);
    if (!inode || inode.inlineBytes > 0) return [];
    const found: { offsetBytes: number; lengthBytes: number; from: ExtentSource & { kind: "journal" } }[] = [];
    let offsetBytes = item.offsetBytes;
    const length = Math.min(item.lengthBytes, inode.sizeBytes - item.offsetBytes);
    if (length <= 0) return [];
    for (const { lengthBytes, source } of locate(state.content, inode, item.offsetBytes, length)) {
      if (source.kind === "journal" && source.fileId === item.fileId && source.recordOffsetBytes === item.recordOffsetBytes) {
        found.push({ offsetBytes, lengthBytes, from: source });
      }
      offsetBytes += lengthBytes;
    }
    return found;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTimer?.();
    await this.#running;
  }
}

function endsAt(last: PackSource, offsetBytes: number, from: ExtentSource & { kind: "journal" }): boolean {
  const { piece } = last;
  return (
    piece.offsetBytes + piece.lengthBytes === offsetBytes && last.from.payloadOffsetBytes + piece.lengthBytes === from.payloadOffsetBytes
  );
}

function swapsOf({ piece, from }: PackSource, extents: readonly { lengthBytes: number; source: ExtentSource }[]): Swap[] {
  const swaps: Swap[] = [];
  let done = 0;
  for (const { lengthBytes, source } of extents) {
    swaps.push({
      ino: piece.ino as Swap["ino"],
      offsetBytes: piece.offsetBytes + done,
      lengthBytes,
      from: { ...from, payloadOffsetBytes: from.payloadOffsetBytes + done },
      to: source,
    });
    done += lengthBytes;
  }
  return swaps;
}
