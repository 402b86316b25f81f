/**
 * Health: what is wrong, worst first, each with the next step. Pure: facts in, sentences out.
 *
 * critical: data is at risk or cannot be written. warning: less redundancy or room than there should be, or something waits for an operator.
 * Notes say what is by design and still worth knowing; they do not make a node unhealthy.
 */
import type { MemberState } from "../maintenance/drive-record.ts";

export interface HealthFacts {
  /** Drives of the cluster's table that hold data or should. */
  readonly drives: readonly { readonly driveId: string; readonly path: string; readonly state: MemberState; readonly reason: string }[];
  /** Fragments of a segment that new data gets, and how many of them may be lost. */
  readonly layout: { readonly k: number; readonly m: number } | null;
  readonly repairQueued: number;
  /** Segments that were written to fewer drives and are being coded again. */
  readonly recodeWaiting: number;
  /** Fragments that are missing and have no drive to go to. */
  readonly homelessFragments: number;
  readonly repairProblems: readonly string[];
  /** What the state was found to contradict itself in. */
  readonly damage: readonly string[];
  /** Copies of the state, and how many there should be. */
  readonly stateCopies: number;
  readonly stateCopiesWanted: number;
  readonly availableBytes: number;
  /** Room on each drive, with what is prepared there; how much cfs wants to keep; whether even the ballast had to go. */
  readonly rooms: readonly {
    readonly path: string;
    readonly freeBytes: number;
    readonly reserveBytes: number;
    readonly hasBallast: boolean;
  }[];
  readonly rawTotalBytes: number;
  readonly rawFreeBytes: number;
  readonly ioDescription: string;
  readonly ioKind: string;
  /** Why the node cannot go on, or null. */
  readonly fatal: string | null;
}

export type HealthLevel = "ok" | "warning" | "critical";

export interface Health {
  readonly level: HealthLevel;
  /** Critical ones first. */
  readonly warnings: readonly string[];
  readonly notes: readonly string[];
}

/** Above this share of the drives in use, people are told. */
const nearFullShare = 0.85;
/** Problems of one kind that are shown; the rest is counted. */
const problemsShown = 5;

function criticalOf(facts: HealthFacts): string[] {
  const found: string[] = [];
  if (facts.fatal !== null) found.push(`this node has stopped: ${facts.fatal}`);
  if (!facts.layout) found.push("no drive is healthy: nothing can be written; see: cfs admin drive list");
  if (facts.layout && facts.availableBytes <= 0) {
    found.push("the drives are full up to the reserve: writes get ENOSPC; delete files or add a drive: cfs admin drive add DIR");
  }
  for (const { path, freeBytes, reserveBytes, hasBallast } of facts.rooms) {
    // Writes of cfs end where the reserve begins: this is the work of others, as a rule.
    if (hasBallast || freeBytes >= reserveBytes) continue;
    const [left, wanted] = [freeBytes, reserveBytes].map((bytes) => `${Math.floor(bytes / (1 << 20))} MiB`);
    found.push(
      `${path} has ${left} left, of the ${wanted} that cfs needs there for its log and for deletes: remove files that are not of cfs, or delete some of cfs`,
    );
  }
  found.push(...shortened(facts.repairProblems, "more fragments could not be repaired"));
  if (facts.damage.length > 0) {
    found.push("the state contradicts itself, and nothing was given up for it; to put it right: cfs fsck --repair");
    found.push(...shortened(facts.damage, "more contradictions"));
  }
  return found;
}

function shortened(lines: readonly string[], rest: string): string[] {
  const more = lines.length - problemsShown;
  return more > 0 ? [...lines.slice(0, problemsShown), `${more} ${rest}`] : [...lines];
}

function warningsOf(facts: HealthFacts): string[] {
  const found: string[] = [];
  for (const { driveId, path, state, reason } of facts.drives) {
    if (state !== "failed" && state !== "missing") continue;
    const where = path === "" ? "" : ` (${path})`;
    const back = state === "missing" ? "bring it back: cfs admin drive add DIR, or " : "";
    found.push(
      `drive ${driveId.slice(0, 8)}${where} is ${state}${reason === "" ? "" : `: ${reason}`}; ${back}replace it: cfs admin drive replace ${driveId.slice(0, 8)} NEWDIR`,
    );
  }
  if (facts.layout?.m === 0) found.push("nothing is redundant: one drive holds everything; add a second: cfs admin drive add DIR");
  if (facts.repairQueued > 0) found.push(`${facts.repairQueued} fragments wait for repair`);
  if (facts.homelessFragments > 0) {
    found.push(
      `${facts.homelessFragments} fragments are missing and no drive is free for them; replace what is lost or add a drive: cfs admin drive add DIR`,
    );
  }
  if (facts.stateCopies < facts.stateCopiesWanted) found.push(`the state has ${facts.stateCopies} of ${facts.stateCopiesWanted} copies`);
  const usedShare = facts.rawTotalBytes > 0 ? 1 - facts.rawFreeBytes / facts.rawTotalBytes : 0;
  if (facts.availableBytes > 0 && usedShare > nearFullShare) found.push(`the drives are ${Math.floor(usedShare * 100)} % full`);
  return found;
}

function notesOf(facts: HealthFacts): string[] {
  const found: string[] = [];
  if (facts.layout?.m === 1) {
    found.push(`new data is stored ${facts.layout.k}+1: it survives the loss of one drive, not of two; six drives give 4+2`);
  }
  for (const { driveId, path, state } of facts.drives) {
    if (state === "draining") found.push(`drive ${driveId.slice(0, 8)} (${path}) is being emptied`);
  }
  if (facts.recodeWaiting > 0)
    found.push(`${facts.recodeWaiting} segments that were written while there were fewer drives wait to be coded again`);
  if (facts.ioKind === "threads") found.push(`drives are accessed through threads, which is slower: ${facts.ioDescription}`);
  return found;
}

export function judgeHealth(facts: HealthFacts): Health {
  const critical = criticalOf(facts);
  const warnings = warningsOf(facts);
  const level = critical.length > 0 ? "critical" : warnings.length > 0 ? "warning" : "ok";
  return { level, warnings: [...critical, ...warnings], notes: notesOf(facts) };
}
