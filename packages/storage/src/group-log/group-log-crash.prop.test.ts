/**
 * Power cuts at any request: what was acknowledged is there afterwards, and what is there is a prefix of what was appended. Against a model that
 * is nothing but a list of updates.
 */
import { assert } from "@cfs/core";
import type { Random } from "@cfs/core";
import { noUpdate } from "@cfs/metadata";
import type { GroupUpdate } from "@cfs/metadata";
import fc from "fast-check";
import { expect, it } from "vitest";

import { MemoryIo } from "../device/memory-io.ts";
import { seededRandom } from "../device/seeded-random.ts";
import type { FileGroupLog } from "./group-log.ts";
import { appended, bytesOf, created, openLog, snapshotOf, viewOf } from "./testing/log-bed.ts";

/** What the model knows of a group. */
interface Model {
  firstIndex: number;
  terms: number[];
  term: number;
  commit: number;
  /** Index to term. */
  payloads: Map<number, number>;
}

function indexOfLast(model: Model): number {
  return model.firstIndex + model.terms.length - 1;
}

/** A random update that makes sense after the model's state, and the model after it. */
function step(random: Random, models: Map<number, Model>, group: number): GroupUpdate {
  const model = models.get(group);
  if (model === undefined) {
    models.set(group, { firstIndex: 1, terms: [], term: 0, commit: 0, payloads: new Map() });
    return created(group);
  }
  const dice = random.next();
  const last = indexOfLast(model);
  if (dice < 0.04) {
    models.delete(group);
    return { ...noUpdate, group, isRemoved: true };
  }
  if (dice < 0.2 && last >= model.firstIndex) {
    const index = model.firstIndex + Math.floor(random.next() * (last - model.firstIndex + 1));
    const term = model.terms[index - model.firstIndex] as number;
    model.terms.splice(0, index - model.firstIndex + 1);
    model.firstIndex = index + 1;
    model.commit = Math.max(model.commit, index);
    return { ...noUpdate, group, snapshot: snapshotOf("compacted", index, term) };
  }
  if (dice < 0.25) {
    const index = last + 1 + Math.floor(random.next() * 5);
    model.term++;
    model.terms = [];
    for (const payload of [...model.payloads.keys()]) if (payload >= model.firstIndex) model.payloads.delete(payload);
    model.firstIndex = index + 1;
    const { commit } = model;
    model.commit = index;
    return {
      ...noUpdate,
      group,
      hardState: { term: model.term, vote: 2, commit: random.next() < 0.5 ? index : commit },
      snapshot: snapshotOf("installed", index, model.term),
    };
  }
  // What is committed is never cut off.
  const first = dice < 0.45 && last > model.commit ? model.commit + 1 + Math.floor(random.next() * (last - model.commit)) : last + 1;
  if (first <= last || random.next() < 0.2) model.term++;
  const payloadBytes = random.next() < 0.4 ? Math.floor(random.next() * 3000) : null;
  const count = 1 + Math.floor(random.next() * 4);
  model.term = Math.max(model.term, 1);
  model.terms.splice(first - model.firstIndex, Infinity, ...Array.from({ length: count }, () => model.term));
  for (let index = first; index <= last; index++) model.payloads.delete(index);
  if (payloadBytes !== null) for (let at = 0; at < count; at++) model.payloads.set(first + at, model.term);
  const update = appended(group, model.term, first, count, { dataBytes: Math.floor(random.next() * 600), payloadBytes });
  // As far as before, or of entries that come with it.
  const known = Math.min(first - 1 + count, Math.max(model.commit, first - 1 + Math.floor((random.next() - 0.5) * 8)));
  model.commit = Math.max(model.commit, known);
  return { ...update, hardState: { term: model.term, vote: 1, commit: model.commit } };
}

const keep = (_: number, index: number): boolean => index % 3 === 0;

/** The log of the model: every update so far, on a drive that never fails. */
async function reference(updates: readonly GroupUpdate[]): Promise<FileGroupLog> {
  const log = await openLog(new MemoryIo({ random: seededRandom(1) }), { fileBytes: 256 << 10 });
  for (const update of updates) await log.append([update]);
  return log;
}

function comparable(log: FileGroupLog): unknown {
  // Payloads of compacted entries go when nobody uses them, which is no matter of what was appended; commit is raised by compaction only.
  return [...viewOf(log)].map(([group, { payloads, ...rest }]) => {
    const firstIndex = log.groups.get(group)?.firstIndex ?? 0;
    const kept = payloads.filter((text) => {
      const index = Number(text.split("/")[0]);
      return index >= firstIndex || keep(group, index);
    });
    return [group, { ...rest, kept }];
  });
}

async function checkPayloads(log: FileGroupLog): Promise<void> {
  for (const [group, entries] of log.groups) {
    for (const [index, { term, sizeBytes }] of entries.payloads) {
      const bytes = await log.readPayload(group, index);
      if (Buffer.compare(bytes, bytesOf(group, index, term, sizeBytes)) !== 0) expect.unreachable(`payload ${group}/${index} is another`);
    }
  }
}

/** A compaction alone takes the way by which it overtakes appends. */
async function write(log: FileGroupLog, batch: readonly GroupUpdate[]): Promise<void> {
  const only = batch.length === 1 ? batch[0] : undefined;
  const isCompaction = only?.snapshot?.how === "compacted";
  if (isCompaction && (await log.compact(only.group, only.snapshot.meta))) return;
  await log.append(batch);
}

/** Frames so small that many appends take several. */
const tight = { frameBytes: 8 << 10, reclaimBytes: 3 * (32 << 10) };

async function life(io: MemoryIo, random: Random, updates: GroupUpdate[], budget: { left: number }): Promise<number> {
  const log = await openLog(io, tight);
  const models = new Map<number, Model>();
  for (const update of updates) replayModel(models, update);
  // As in Raft, an index and a term name one entry for ever: what the power cut took does not come back as something else.
  for (const model of models.values()) model.term++;
  let acknowledged = updates.length;
  budget.left = Math.floor(random.next() * 120);
  const isUp = (): boolean => budget.left >= 0;
  while (isUp()) {
    const batch = [1, 2, 3].filter(() => random.next() < 0.5).map((group) => step(random, models, group));
    updates.push(...batch);
    const count = updates.length;
    const isDone = await write(log, batch).then(
      () => true,
      () => false,
    );
    // After the cut nobody hears an acknowledgement.
    if (isDone && isUp()) acknowledged = count;
    if (random.next() < 0.2) await log.reclaim(keep).catch(() => undefined);
  }
  await log.close();
  return acknowledged;
}

function replayModel(models: Map<number, Model>, update: GroupUpdate): void {
  const { group, snapshot } = update;
  if (update.isRemoved) return void models.delete(group);
  const model = models.get(group) ?? { firstIndex: 1, terms: [], term: 0, commit: 0, payloads: new Map<number, number>() };
  models.set(group, model);
  if (update.hardState !== null) model.term = update.hardState.term;
  model.commit = Math.max(model.commit, update.hardState?.commit ?? 0, snapshot?.meta.index ?? 0);
  if (snapshot !== null) {
    model.terms = snapshot.how === "installed" ? [] : model.terms.slice(snapshot.meta.index + 1 - model.firstIndex);
    model.firstIndex = snapshot.meta.index + 1;
  }
  for (const { index, term } of update.entries) model.terms.splice(index - model.firstIndex, Infinity, term);
}

it("an acknowledged append survives every power cut, and nothing else appears", { timeout: 300_000 }, async () => {
  let cuts = 0;
  await fc.assert(
    fc.asyncProperty(fc.integer(), async (seed) => {
      const random = seededRandom(seed);
      const budget = { left: Number.MAX_SAFE_INTEGER };
      const io: MemoryIo = new MemoryIo({
        random,
        schedule: (settle) => {
          if (budget.left-- === 0) io.crash();
          queueMicrotask(settle);
        },
      });
      let updates: GroupUpdate[] = [];
      for (let round = 0; round < 4; round++) {
        budget.left = Number.MAX_SAFE_INTEGER;
        const acknowledged = await life(io, random, updates, budget);
        budget.left = Number.MAX_SAFE_INTEGER;
        cuts++;
        const log = await openLog(io, tight);
        await checkPayloads(log);
        updates = await prefixOf(log, updates, acknowledged);
        await log.close();
      }
    }),
    { numRuns: Number(process.env["CFS_CRASH_RUNS"] ?? 60) },
  );
  expect(cuts).toBeGreaterThan(0);
});

/**
 * Prefixes of the updates from `from` on; the last one may be cut before its snapshot and after any of its entries, for a large append takes several
 * writes. What is cut off is not committed as far as the log can say: its commit index speaks of nothing that is missing, nor of what it replaces.
 */
function* prefixes(updates: readonly GroupUpdate[], from: number): Generator<GroupUpdate[]> {
  for (let count = from; count <= updates.length; count++) {
    const whole = updates.slice(0, count);
    yield whole;
    const next = updates[count];
    if (next === undefined || next.hardState === null) continue;
    const { hardState, snapshot } = next;
    const sure = (commit: number): GroupUpdate["hardState"] => ({ ...hardState, commit: Math.min(hardState.commit, commit) });
    if (snapshot !== null) yield [...whole, { ...next, snapshot: null, hardState: sure(commitOf(whole, next.group)) }];
    const first = next.entries[0];
    for (let entries = 0; first !== undefined && entries <= next.entries.length; entries++) {
      const kept = next.entries.slice(0, entries);
      const payloads = next.payloads.filter(({ index }) => kept.some((entry) => entry.index === index));
      yield [...whole, { ...next, hardState: sure(first.index - 1), entries: kept, payloads }];
    }
  }
}

function commitOf(updates: readonly GroupUpdate[], group: number): number {
  const models = new Map<number, Model>();
  for (const update of updates) replayModel(models, update);
  return models.get(group)?.commit ?? 0;
}

/** The shortest prefix of the updates, from what was acknowledged on, that makes the log what it is. */
async function prefixOf(log: FileGroupLog, updates: readonly GroupUpdate[], acknowledged: number): Promise<GroupUpdate[]> {
  const now = JSON.stringify(comparable(log));
  for (const prefix of prefixes(updates, acknowledged)) {
    const model = await reference(prefix);
    const isSame = JSON.stringify(comparable(model)) === now;
    await model.close();
    if (isSame) return prefix;
  }
  const model = await reference(updates.slice(0, acknowledged));
  expect(comparable(log)).toEqual(comparable(model));
  assert(false, "unreachable");
}
