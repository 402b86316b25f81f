/**
 * Health: what is wrong, worst first, each with the next step. Pure: facts in, sentences out.
 */

export interface HealthFacts {
  /** Drives of the cluster's table that hold data or should. */
  readonly drives: readonly { readonly index: number; readonly path: string; readonly state: "ok" | "failed" | "draining" | "removed" | "missing"; readonly reason: string }[];
  /** Fragments of a segment that new data gets, and how many of them may be lost. */
  readonly layout: { readonly k: number; readonly m: number } | null;
  readonly repairQueued: number;
  readonly repairProblems: readonly string[];
  readonly availableBytes: number;
  readonly freeBytes: number;
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
  readonly warnings: readonly string[];
}

/** Above this share of the drives in use, people are told. */
const nearFullShare = 0.85;

export function judgeHealth(facts: HealthFacts): Health {
  const critical: string[] = [];
  const warnings: string[] = [];
  if (facts.fatal !== null) critical.push(`this node has stopped: ${facts.fatal}`);
  if (!facts.layout) critical.push("no drive is healthy: nothing can be written; see: cfs admin drive list");
  if (facts.availableBytes <= 0) critical.push("the drives are full up to the reserve: writes get ENOSPC; delete files or add a drive: cfs admin drive add DIR");
  for (const problem of facts.repairProblems.slice(0, 5)) critical.push(problem);
  for (const { path, state, reason, index } of facts.drives) {
    if (state === "failed" || state === "missing") {
      warnings.push(`drive ${index} (${path}) is ${state}${reason === "" ? "" : `: ${reason}`}; replace it: cfs admin drive replace ${index} NEWDIR`);
    }
  }
  if (facts.layout && facts.layout.m === 0) warnings.push("nothing is redundant: one drive holds everything; add a second: cfs admin drive add DIR");
  else if (facts.layout && facts.layout.m === 1) {
    warnings.push(`new data is stored ${facts.layout.k}+1: it survives the loss of one drive, not of two; six drives give 4+2`);
  }
  if (facts.repairQueued > 0) warnings.push(`${facts.repairQueued} fragments wait for repair`);
  const usedShare = facts.rawTotalBytes > 0 ? 1 - facts.rawFreeBytes / facts.rawTotalBytes : 0;
  if (facts.availableBytes > 0 && usedShare > nearFullShare) warnings.push(`the drives are ${Math.floor(usedShare * 100)} % full`);
  if (facts.ioKind === "threads") warnings.push(`drives are accessed through threads, which is slower: ${facts.ioDescription}`);
  return { level: critical.length > 0 ? "critical" : warnings.length > 0 ? "warning" : "ok", warnings: [...critical, ...warnings] };
}
