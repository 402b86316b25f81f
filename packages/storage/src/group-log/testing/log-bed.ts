/** What tests of the group log share: logs on a memory drive with small files, updates in short form, and a view of the log to compare. */
import { silentLogger } from "@cfs/core";
import type { Clock } from "@cfs/core";
import type { GroupUpdate } from "@cfs/metadata";
import { noUpdate } from "@cfs/metadata";

import type { Io } from "../../device/io.ts";
import { seededRandom } from "../../device/seeded-random.ts";
import { crc32cTable } from "../../journal/crc32c.ts";
import { FileGroupLog } from "../group-log.ts";
import type { GroupLogOptions } from "../group-log.ts";

export const directory = "/groups";

export const small: GroupLogOptions = {
  directory,
  clusterId: "c0".repeat(16),
  nodeId: "0d".repeat(16),
  fileBytes: 32 << 10,
  frameBytes: 16 << 10,
};

/** Time stands still but for `advance`. */
export class StillClock implements Clock {
  #timers: (() => void)[] = [];

  wallTime(): { readonly sec: number; readonly nsec: number } {
    return { sec: 0, nsec: 0 };
  }

  monotonicMs(): number {
    return 0;
  }

  after(_delayMs: number, callback: () => void): () => void {
    this.#timers.push(callback);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== callback);
    };
  }

  /** All timers are due. */
  advance(): void {
    for (const callback of this.#timers.splice(0)) callback();
  }
}

let seed = 1;

export function openLog(io: Io, options: Partial<GroupLogOptions> = {}, clock: Clock = new StillClock()): Promise<FileGroupLog> {
  const parts = { io, crc32c: crc32cTable, clock, random: seededRandom(seed++), logger: silentLogger };
  return FileGroupLog.open(parts, { ...small, ...options });
}

const simple = { voters: [1, 2, 3], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };

export function created(group: number): GroupUpdate {
  return { ...noUpdate, group, snapshot: { how: "installed", meta: { index: 0, term: 0, configuration: simple } } };
}

export function snapshotOf(how: "compacted" | "installed", index: number, term: number): NonNullable<GroupUpdate["snapshot"]> {
  return { how, meta: { index, term, configuration: simple } };
}

/** Bytes that tell group, index and term. */
export function bytesOf(group: number, index: number, term: number, sizeBytes: number): Uint8Array {
  const bytes = Buffer.alloc(sizeBytes, (index * 31 + term * 7 + group) % 251);
  bytes.write(`${group}/${index}/${term};`.slice(0, sizeBytes), "latin1");
  return bytes;
}

export interface EntryShape {
  readonly dataBytes?: number;
  /** Null: none. */
  readonly payloadBytes?: number | null;
}

/** `count` entries of a term from `first` on, with the hard state to go with them. */
export function appended(group: number, term: number, first: number, count: number, shape: EntryShape = {}): GroupUpdate {
  const indexes = Array.from({ length: count }, (_, at) => first + at);
  const { dataBytes = 20, payloadBytes = null } = shape;
  return {
    ...noUpdate,
    group,
    hardState: { term, vote: 1, commit: first - 1 },
    entries: indexes.map((index) => ({ index, term, kind: 1, data: bytesOf(group, index, term, dataBytes) })),
    payloads: payloadBytes === null ? [] : indexes.map((index) => ({ index, term, bytes: bytesOf(group, index, term, payloadBytes) })),
  };
}

export interface GroupView {
  readonly hardState: { readonly term: number; readonly vote: number; readonly commit: number };
  readonly snapshot: string;
  readonly entries: readonly string[];
  readonly payloads: readonly string[];
}

/** Everything that a log shows, in comparable form; payloads by what they say they are. */
export function viewOf(log: FileGroupLog): Map<number, GroupView> {
  const view = new Map<number, GroupView>();
  for (const [group, entries] of [...log.groups].toSorted(([a], [b]) => a - b)) {
    const list: string[] = [];
    for (let index = entries.firstIndex; index <= entries.lastIndex; index++) {
      const entry = entries.at(index);
      list.push(`${index}/${entry?.term}/${entry?.kind}/${Buffer.from(entry?.data ?? []).toString("latin1")}`);
    }
    const { snapshot, hardState } = entries;
    view.set(group, {
      hardState,
      snapshot: `${snapshot.index}/${snapshot.term}/${snapshot.configuration.voters.join(",")}`,
      entries: list,
      payloads: [...entries.payloads].map(([index, { term, sizeBytes }]) => `${index}/${term}/${sizeBytes}`).toSorted(),
    });
  }
  return view;
}

/** The bytes of a file as they are on the drive, and a way to change them behind the log's back. */
export async function surgery(io: Io, path: string, change: (bytes: Buffer) => void): Promise<void> {
  const file = await io.open(path, { direct: false, dataSync: true, create: false, exclusive: false, readOnly: false });
  const bytes = Buffer.alloc(file.sizeBytes);
  await io.read(file, bytes, 0);
  change(bytes);
  await io.write(file, [bytes], 0);
  await io.close(file);
}
