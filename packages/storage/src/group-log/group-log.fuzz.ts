/**
 * Seeded nonsense at the decoders of the group log and of the batches between nodes: `node --conditions=cfs-source packages/storage/src/group-log/group-log.fuzz.ts [COUNT] [SEED]`.
 *
 * Half of the inputs are valid streams with some bytes changed, cut or doubled. Whatever comes in, a decoder gives records or throws CORRUPT; it never
 * fails otherwise, hangs, or gives more bytes than it was given.
 */
import { ByteWriter, CfsError } from "@cfs/core";
import type { Random } from "@cfs/core";
import { decodeEnvelope, decodeGroupRecords, decodePeerBatch, encodeEnvelope, encodeGroupRecord, encodePeerBatch } from "@cfs/metadata";
import type { GroupRecord } from "@cfs/metadata";

import { seededRandom } from "../device/seeded-random.ts";
import { crc32cTable } from "../journal/crc32c.ts";
import { decodeFileHeader, decodeSector } from "./sector-format.ts";

const configuration = { voters: [1, 2, 3], votersOutgoing: [4], learners: [5], learnersNext: [], autoLeave: true };

function below(random: Random, bound: number): number {
  return Math.floor(random.next() * bound);
}

function recordOf(random: Random): GroupRecord {
  const group = 1 + below(random, 300);
  const index = 1 + below(random, 2 ** 40);
  const term = 1 + below(random, 2 ** 20);
  const bytes = new Uint8Array(below(random, 40));
  const records: readonly GroupRecord[] = [
    {
      type: "entry",
      group,
      entry: { index, term, kind: 1, data: encodeEnvelope({ command: bytes, payload: { sizeBytes: index, crc: term } }) },
    },
    { type: "moved", group, entry: { index, term, kind: 2, data: bytes } },
    { type: "hardState", group, hardState: { term, vote: 2, commit: index } },
    { type: "compacted", group, meta: { index, term, configuration } },
    { type: "installed", group, meta: { index, term, configuration }, cutFrom: index },
    { type: "payload", group, index, term, bytes },
    { type: "removed", group },
    { type: "reclaimed", fileId: group },
  ];
  return records[below(random, records.length)] as GroupRecord;
}

function inputOf(random: Random): Uint8Array {
  if (random.next() < 0.3) return random.bytes(new Uint8Array(below(random, 120)));
  const writer = new ByteWriter();
  for (let count = 1 + below(random, 5); count > 0; count--) {
    const payload = encodeGroupRecord(writer, recordOf(random));
    if (payload !== null) writer.raw(payload);
  }
  let bytes = writer.take();
  for (let count = below(random, 4); count > 0 && bytes.length > 0; count--) {
    const at = below(random, bytes.length);
    const dice = random.next();
    if (dice < 0.7) bytes[at] = below(random, 256);
    else if (dice < 0.85) bytes = bytes.slice(0, at);
    else bytes = Buffer.concat([bytes, bytes.subarray(at)]);
  }
  return bytes;
}

/** Bytes that the decoded records hold. */
function weigh(input: Uint8Array): number {
  let sizeBytes = 0;
  decodeGroupRecords(input, (record) => {
    if (record.type === "entry" || record.type === "moved") {
      sizeBytes += record.entry.data.length;
      if (record.entry.data.length > 0) decodeEnvelope(record.entry.data);
    } else if (record.type === "payload") sizeBytes += record.bytes.length;
  });
  return sizeBytes;
}

function batchOf(random: Random): Uint8Array {
  const [group, index, term] = [1 + below(random, 300), 1 + below(random, 2 ** 40), 1 + below(random, 2 ** 20)];
  const entries = [{ term, index: index + 1, kind: 1 as const, data: new Uint8Array(below(random, 30)) }];
  const message = { type: "append" as const, from: 1, to: 2, term, prevIndex: index, prevTerm: term, commit: index, entries };
  const batch = encodePeerBatch([
    { type: "payloads", group, payloads: [{ index, term, bytes: new Uint8Array(below(random, 30)) }] },
    { type: "raft", group, message, gate: index, held: 0 },
    { type: "want", group, entries: [{ index, term }] },
    { type: "held", group, replica: 3, term, index },
  ]);
  for (let count = 1 + below(random, 3); count > 0; count--) batch[below(random, batch.length)] = below(random, 256);
  return random.next() < 0.3 ? batch.subarray(0, below(random, batch.length)) : batch;
}

function refusedOrNot(at: number, seed: number, decode: () => unknown): void {
  try {
    decode();
  } catch (reason) {
    if (!(reason instanceof CfsError) || reason.code !== "CORRUPT") throw new Error(`input ${at} of seed ${seed}`, { cause: reason });
  }
}

export function fuzzGroupLog(count: number, seed: number): { readonly decoded: number; readonly refused: number } {
  const random = seededRandom(seed);
  const counts = { decoded: 0, refused: 0 };
  const block = Buffer.alloc(4096);
  for (let at = 0; at < count; at++) {
    const input = inputOf(random);
    try {
      if (weigh(input) > input.length) throw new Error(`input ${at} of seed ${seed} gave more bytes than it has`);
      counts.decoded++;
    } catch (reason) {
      if (!(reason instanceof CfsError) || reason.code !== "CORRUPT") throw new Error(`input ${at} of seed ${seed}`, { cause: reason });
      counts.refused++;
    }
    refusedOrNot(at, seed, () => decodePeerBatch(batchOf(random)));
    if (at % 16 !== 0) continue;
    block.set(input.subarray(0, 512), below(random, 3500));
    decodeSector(block, 0, at, 4096, crc32cTable);
    try {
      decodeFileHeader(block, "fuzz", crc32cTable);
    } catch (reason) {
      if (!(reason instanceof CfsError)) throw reason;
    }
  }
  return counts;
}

if (import.meta.main) {
  const count = Number(process.argv[2] ?? 2_000_000);
  const seed = Number(process.argv[3] ?? 1);
  const begin = performance.now();
  const counts = fuzzGroupLog(count, seed);
  console.log(`${count} inputs, seed ${seed}: ${JSON.stringify(counts)}, ${Math.round(performance.now() - begin)} ms`);
}
