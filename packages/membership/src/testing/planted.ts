/**
 * Wrong rules, one at a time, to prove that the checkers find them: each overrides one decision of swim/rules.ts.
 *
 * planted.test.ts shows that my scenarios find each; the cluster simulator of the testkit does the same among all other faults.
 */
import { standardRules, type SwimRules } from "../swim/rules.ts";

export interface PlantedSwimBug {
  /** What the programmer forgot. */
  readonly what: string;
  readonly rules: SwimRules;
}

function planted(what: string, override: Partial<SwimRules>): PlantedSwimBug {
  return { what, rules: { ...standardRules, ...override } };
}

export const plantedSwimBugs: Readonly<Record<string, PlantedSwimBug>> = {
  reuseIncarnation: planted("a refutation has the incarnation that was used before", { refutation: (own) => own }),
  deadWithoutSuspicion: planted("a failed probe is a verdict", { verdictOfProbe: () => "dead" }),
  ignoreRefutation: planted("a suspect stays suspect whatever it says", {
    supersedes: (claim, held) => !(claim.state === "alive" && held.state === "suspect") && standardRules.supersedes(claim, held),
  }),
  hastySuspicion: planted("a suspicion has no time to be refuted", { suspicionMs: () => 0 }),
  unlimitedRetransmit: planted("an update is sent for ever", { retransmitLimit: () => Number.POSITIVE_INFINITY }),
  staleResurrection: planted("a stale row of another table brings a dead member back", {
    comesBack: (claim, tombstone) => claim.incarnation >= tombstone.incarnation,
  }),
  acceptReplay: planted("a packet is taken as often as it comes", { dropsReplay: () => false }),
  leaveAsFailure: planted("a goodbye is told as a death", { stateOfLeave: () => "dead" }),
  noIndirectProbe: planted("nobody else is asked about a silent member", { indirectProbes: () => 0 }),
  deathByHearsay: planted("a death in another table is believed, although the member is active here", { stateFromSync: (state) => state }),
  pauseCounts: planted("the time in which the process stood still counts as silence of the others", {
    countedMs: (elapsedMs) => Math.max(0, elapsedMs),
  }),
  firstValueStays: planted("of two values of one version each node keeps the one that it heard first", {
    isNewerValue: (value, held) => value.version > held.version,
  }),
  mixedValue: planted("parts of two values of one version are put together", {
    isSameValue: (one, other) => one.version === other.version,
  }),
};
