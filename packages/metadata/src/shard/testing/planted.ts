/**
 * Bugs to plant in the shard driver, one at a time: proof that the tests and the simulator notice. Tests only (`@cfs/metadata/testing`).
 *
 * Each replaces one decision of the standard rules by a wrong one; driver-rules.ts says what the right one is for.
 */
import { assert } from "@cfs/core";
import { standardRules } from "../driver-rules.ts";
import type { DriverRules } from "../driver-rules.ts";

export const plantedDriverBugs: Readonly<Record<string, Partial<DriverRules>>> = {
  /** Answers go out before what they promise is durable: a crash takes it back. */
  sendBeforePersist: { messagesWait: () => false },
  /** Commands are applied before the log has them: after a crash the state is ahead of the log. */
  applyBeforePersist: { applyWaits: () => false },
  /** Term and vote are never stored: after a crash a replica votes twice in a term. */
  loseHardState: { hardStateToStore: () => null },
  /** The log does not hear that the state came from elsewhere. */
  forgetInstalledSnapshot: { storesSnapshot: (how) => how !== "installed" },
  /** Entries commit though no second node has their payload. */
  ignoreCommitGate: { gateIndex: () => Number.MAX_SAFE_INTEGER },
  /** The gate opens as soon as the first node has the payload. */
  countOneHolder: { gateIndex: (held) => Math.max(0, ...held) },
  /** A follower takes entries without the payload that came with them. */
  takeEntryWithoutPayload: { mayTakeEntry: () => true },
  /** A leader counts its own payload before it is durable. */
  countPayloadBeforeDurable: { heldIndex: (_, promised) => promised() },
  /** A read is answered from a state that is older than it must be. */
  readBeforeApplied: { mayAnswerRead: () => true },
  /** A leader that stood still answers by a lease that is over. */
  forgetTicksThatAreDue: { paysTicks: () => false },
  /** The log goes before the state that it made is durable. */
  compactBeyondDurable: { compactIndex: (_, appliedIndex) => appliedIndex },
};

export function driverRulesWithBug(bug: string): DriverRules {
  assert(plantedDriverBugs[bug] !== undefined, "the bug is one of plantedDriverBugs");
  return { ...standardRules, ...plantedDriverBugs[bug] };
}
