/**
 * Leadership is handed to a voter of one's choice (thesis, section 3.10).
 *
 * The leader takes no proposals until the target has its whole log, then tells it to campaign at once. It stays leader if that comes to nothing within
 * electionTicks. From then on no lease counts in this term: the target's votes come from voters that still keep faith with this leader.
 */
import { assert } from "@cfs/core";
import { isVoter } from "./configuration.ts";
import type { Core } from "./core.ts";
import { type NodeId, nobody } from "./entry.ts";

export function beginTransfer(core: Core, to: NodeId): boolean {
  if (!core.isLeader || to === core.id || !isVoter(core.configuration, to)) return false;
  core.transferTarget = to;
  core.transferElapsed = 0;
  continueTransfer(core);
  return true;
}

export function continueTransfer(core: Core): void {
  const progress = core.progress.get(core.transferTarget);
  if (progress === undefined) return;
  if (progress.match === core.log.lastIndex) {
    assert(core.isLeader, "only a leader hands leadership over");
    core.isLeaseLost = true;
    core.send({ type: "timeoutNow", from: core.id, to: core.transferTarget, term: core.term });
  } else core.areAppendsDue = true;
}

export function tickTransfer(core: Core): void {
  if (core.transferTarget === nobody) return;
  core.transferElapsed++;
  if (core.transferElapsed >= core.options.electionTicks) core.transferTarget = nobody;
}
