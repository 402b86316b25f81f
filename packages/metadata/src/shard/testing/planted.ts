/**
 * Bugs to plant in the shard driver, one at a time: proof that the tests and the simulator notice. Tests only (`@cfs/metadata/testing`).
 *
 * Each is the standard rules with one decision wrong.
 */
import { standardRules } from "../driver-rules.ts";
import type { DriverRules } from "../driver-rules.ts";

export interface PlantedBug {
  /** What the driver does wrong, and how it shows. */
  readonly what: string;
  readonly rules: DriverRules;
}

function planted(what: string, wrong: Partial<DriverRules>): PlantedBug {
  return { what, rules: { ...standardRules, ...wrong } };
}

export const plantedDriverBugs: Readonly<Record<string, PlantedBug>> = {
  sendBeforePersist: planted("answers go out before what they promise is durable: a crash takes it back", { messagesWait: () => false }),
  applyBeforePersist: planted("commands are applied before the log has them: after a crash the state is ahead of the log", {
    applyWaits: () => false,
  }),
  loseHardState: planted("term and vote are never stored: after a crash a replica votes twice in a term", { hardStateToStore: () => null }),
  forgetInstalledSnapshot: planted("the log does not hear that the state came from elsewhere", {
    storesSnapshot: (how) => how !== "installed",
  }),
  ignoreCommitGate: planted("entries commit though one node only has their payload", { gateIndex: () => Number.MAX_SAFE_INTEGER }),
  countOneHolder: planted("the gate opens as soon as the first node has the payload", { gateIndex: (held) => Math.max(...held) }),
  takeEntryWithoutPayload: planted("a follower takes entries without the payload that came with them", { mayTakeEntry: () => true }),
  countPayloadBeforeDurable: planted("the leader counts its own payload before it is durable", { heldIndex: (_, promised) => promised }),
  answerForAnotherEntry: planted("a proposal is answered with the result of another leader's entry at its index", {
    isOutcomeOf: () => true,
  }),
  readBeforeApplied: planted("a read is answered from a state that is older than it must be", { mayAnswerRead: () => true }),
  compactBeyondDurable: planted("the log goes before the state that it made is durable", {
    compactIndex: (_, appliedIndex) => appliedIndex,
  }),
};
