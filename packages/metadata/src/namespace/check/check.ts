/**
 * Recounts the whole state from scratch and lists what does not add up: the heart of fsck, and the oracle of the tests.
 *
 * It reads records through the key-value store alone, shares no counting code with the state machine, and changes nothing. The store
 * must be quiet: everything dirty written, no command applied meanwhile.
 * Memory is flat: records are streamed in key order, and what needs random access (links, references) is counted in as many passes
 * as keep the tables within their limits. Time grows with records × passes.
 */
import type { InodeNumber } from "@cfs/core";
import type { OrderedKv } from "../../kv/ordered-kv.ts";
import { superblockKey, usageKey } from "../keys.ts";
import type { MendItem } from "../mend.ts";
import type { Superblock, Usage } from "../records.ts";
import { decodeSuperblock, decodeUsage, emptyUsage } from "../system-format.ts";
import { checkContent } from "./check-content.ts";
import { checkLinks, checkRooted } from "./check-links.ts";
import { checkSegments } from "./check-segments.ts";
import { checkSessions } from "./check-sessions.ts";
import { checkTree } from "./check-tree.ts";
import { decodeOr } from "./stream.ts";

export interface Problem {
  /** The kind of thing that is wrong: inode, directory, region, segment, journal, orphan, zombie, session, usage, superblock, record. */
  readonly what: string;
  /** Which one: a number as text, or empty. */
  readonly id: string;
  readonly message: string;
  /** What puts it right, as far as that can be proved; empty where only a person can know. */
  readonly mends: readonly ProblemMend[];
}

/** An item for the `mend` command, or `reap`, which is a command of its own. */
export type ProblemMend = MendItem | { readonly kind: "reap"; readonly ino: InodeNumber };

export interface CheckLimits {
  /** Inodes whose links are counted in one pass, about 100 bytes each; 25 MiB by default. */
  readonly inodesPerPass: number;
  /** Chunks whose references are counted in one pass, about 100 bytes each with their records; 40 MiB by default. */
  readonly chunksPerPass: number;
  /** Problems listed at most; more of them are counted by one last line. */
  readonly problemsMax: number;
}

export const checkDefaults: CheckLimits = { inodesPerPass: 250_000, chunksPerPass: 400_000, problemsMax: 1000 };

/** What the passes share. */
export interface CheckRun {
  readonly kv: OrderedKv;
  readonly limits: CheckLimits;
  readonly superblock: Superblock;
  /** Sums as recounted. */
  readonly usage: Usage;
  /** Live bytes of segments as their own records say: what the sum over them must agree with once these are right. */
  noted: { segmentLiveBytes: number };
  /** Inodes that entries lead to and that do not exist: what is left of them is not taken for garbage. Bounded by `problemsMax`. */
  readonly missing: Set<number>;
  report(what: string, id: string | number, message: string, ...mends: readonly ProblemMend[]): void;
}

export async function checkState(kv: OrderedKv, limits: Partial<CheckLimits> = {}): Promise<Problem[]> {
  const all = { ...checkDefaults, ...limits };
  const problems: Problem[] = [];
  let unlisted = 0;
  const report: CheckRun["report"] = (what, id, message, ...mends) => {
    if (problems.length < all.problemsMax) problems.push({ what, id: String(id), message, mends });
    else unlisted += 1;
  };
  const superblock = readSuperblock(kv, report);
  if (superblock === null) return problems;
  const run: CheckRun = { kv, limits: all, superblock, usage: emptyUsage(), noted: { segmentLiveBytes: 0 }, missing: new Set(), report };
  await checkTree(run);
  await checkLinks(run);
  await checkRooted(run);
  await checkContent(run);
  await checkSegments(run);
  await checkSessions(run);
  checkUsage(run);
  if (unlisted > 0) problems.push({ what: "check", id: "", message: `${unlisted} more problems are not listed`, mends: [] });
  return problems;
}

function readSuperblock(kv: OrderedKv, report: CheckRun["report"]): Superblock | null {
  const bytes = kv.get(superblockKey);
  if (bytes !== null) return decodeSuperblock(bytes);
  report("superblock", "", "there is none: the store was never formatted");
  return null;
}

function checkUsage(run: CheckRun): void {
  const bytes = run.kv.get(usageKey);
  const stored = bytes === null ? emptyUsage() : decodeOr(run, { key: usageKey, value: bytes }, decodeUsage);
  if (stored === null) return;
  for (const name of Object.keys(run.usage) as (keyof Usage)[]) {
    if (stored[name] === run.usage[name]) continue;
    const right = name === "segmentLiveBytes" ? run.noted.segmentLiveBytes : run.usage[name];
    run.report("usage", name, `the sum says ${stored[name]}, a recount gives ${run.usage[name]}`, {
      kind: "usage",
      name,
      delta: right - stored[name],
    });
  }
}
