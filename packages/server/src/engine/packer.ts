/**
 * The packer: moves data from the journal to segments, in the background, oldest first.
 *
 * For each journalled write it asks the state which parts still come from that record, takes their bytes, fills segments with them, and publishes the
 * swap by one command that holds only where the extents are still the current ones. Then the record's payload is no longer needed.
 * When it runs: see pack-pace.ts.
 */
import type { Clock, Logger } from "@cfs/core";
import { locate } from "@cfs/metadata";
import type { ExtentSource, KvState, ShardDriver, Swap } from "@cfs/metadata";
import type { Journal } from "@cfs/storage";
import { commitOwn } from "./own-command.ts";
import { PackPace } from "./pack-pace.ts";
import type { PackLoad } from "./pack-pace.ts";
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
  /** User data that still fits the drives. */
  readonly availableBytes: () => number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Wait before a failed attempt is made again, milliseconds. */
const retryMs = 2_000;

type JournalSource = ExtentSource & { readonly kind: "journal" };

interface PackSource {
  readonly piece: Piece;
  readonly from: JournalSource;
}

/** A part of an item that the file still has from there. */
interface LivePart {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly from: JournalSource;
}

interface LiveItem {
  readonly item: PackItem;
  readonly parts: readonly LivePart[];
}

export class Packer {
  readonly #parts: PackerParts;
  readonly #pace: PackPace;
  #running: Promise<void> | null = null;
  #cancelTimer: (() => void) | null = null;
  #isClosed = false;
  /** Segments published so far. */
  segmentsPacked = 0;

  constructor(parts: PackerParts, pace: PackPace = new PackPace()) {
    this.#parts = parts;
    this.#pace = pace;
    parts.queue.onAdded = () => this.#added();
  }

  #added(): void {
    this.#pace.added(this.#parts.clock.monotonicMs());
    this.#wake();
  }

  #wake(): void {
    if (this.#isClosed || this.#running || this.#parts.queue.length === 0) return;
    const waitMs = this.#pace.waitMs(this.#load());
    if (waitMs <= 0) this.#start();
    // One timer at most: while items come it is not set anew, but looks again when it fires.
    else this.#cancelTimer ??= this.#parts.clock.after(waitMs, () => this.#look());
  }

  #look(): void {
    this.#cancelTimer = null;
    this.#wake();
  }

  #load(): PackLoad {
    const { queue, journal, clock, availableBytes } = this.#parts;
    return {
      nowMs: clock.monotonicMs(),
      waitingBytes: queue.bytes,
      journalBytes: journal.totalBytes,
      availableBytes: availableBytes(),
    };
  }

  #start(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    if (this.#running || this.#isClosed) return;
    this.#running = this.#packAll()
      .catch((reason: unknown) => this.#parts.logger.warn("packing failed and will be tried again", { reason: String(reason) }))
      .finally(() => {
        this.#running = null;
        if (this.#parts.queue.length === 0) this.#pace.emptied();
        this.#wake();
      });
  }

  /** A few segments at a time, as long as the pace says. */
  async #packAll(): Promise<void> {
    const { queue } = this.#parts;
    this.#pace.begin(this.#load());
    while (queue.length > 0 && !this.#isClosed && this.#pace.goesOn(this.#load())) {
      const count = Math.min(inParallel, Math.ceil(queue.bytes / segmentRawBytesMax));
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
        await commitOwn(driver, { type: "publish", segment: stored.segment, swaps }, `segment ${stored.segment.id} was not published`);
        this.segmentsPacked++;
      }
    } catch (reason) {
      queue.putBack(items);
      await new Promise<void>((resolve) => {
        this.#parts.clock.after(retryMs, resolve);
      });
      throw reason;
    }
  }

  /** The parts of the items that are still current, with their bytes. */
  async #gather(items: readonly PackItem[]): Promise<PackSource[]> {
    const live: LiveItem[] = [];
    for (const item of items) {
      const parts = this.#current(item);
      if (parts.length > 0) live.push({ item, parts });
    }
    const payloads = await this.#payloads(live);
    const sources: PackSource[] = [];
    live.forEach(({ item, parts }, index) => {
      const bytes = payloads[index] as Uint8Array;
      for (const part of parts) addSource(sources, item, part, bytes);
    });
    return sources;
  }

  /** Read file by file, each asked for in this very turn: a file that is being read from stays. */
  async #payloads(live: readonly LiveItem[]): Promise<Uint8Array[]> {
    const byFile = new Map<number, { order: number; offsetBytes: number; payloadBytes: number }[]>();
    live.forEach(({ item }, order) => {
      const wanted = { order, offsetBytes: item.recordOffsetBytes, payloadBytes: item.lengthBytes };
      const list = byFile.get(item.fileId);
      if (list) list.push(wanted);
      else byFile.set(item.fileId, [wanted]);
    });
    const payloads: Uint8Array[] = [];
    const reads = [...byFile].map(async ([fileId, wanted]) => {
      wanted.sort((a, b) => a.offsetBytes - b.offsetBytes);
      const read = await this.#parts.journal.readPayloads(fileId, wanted);
      wanted.forEach(({ order }, at) => (payloads[order] = read[at] as Uint8Array));
    });
    await Promise.all(reads);
    return payloads;
  }

  #current(item: PackItem): LivePart[] {
    const { state } = this.#parts;
    const inode = state.inode(item.ino);
    if (!inode || inode.inlineBytes > 0) return [];
    const found: LivePart[] = [];
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

/** Ranges of one record that lie side by side are one piece, so that chunks are cut across region borders. */
function addSource(sources: PackSource[], { ino }: PackItem, { offsetBytes, lengthBytes, from }: LivePart, bytes: Uint8Array): void {
  const views = [bytes.subarray(from.payloadOffsetBytes, from.payloadOffsetBytes + lengthBytes)];
  const last = sources.at(-1);
  if (
    last &&
    last.from.fileId === from.fileId &&
    last.from.recordOffsetBytes === from.recordOffsetBytes &&
    last.piece.ino === ino &&
    endsAt(last, offsetBytes, from)
  ) {
    const { piece } = last;
    const joined = { ...piece, lengthBytes: piece.lengthBytes + lengthBytes, views: [...piece.views, ...views] };
    sources[sources.length - 1] = { from: last.from, piece: joined };
  } else sources.push({ from, piece: { views, lengthBytes, ino, offsetBytes } });
}

function endsAt(last: PackSource, offsetBytes: number, from: JournalSource): boolean {
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
