/**
 * A lease is over before its voters help anybody else, for any pair of clocks that keeps what the README asks of hosts.
 *
 * A leader and one of its two voters run on clocks of their own rate and phase, in steps of true time; each tick is given when it is due, before anything
 * else. Then they are cut from each other, and at every step the leader is asked for a read and the voter for its vote. Source: thesis, section 6.4.1.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { MemoryLog } from "./memory-log.ts";
import type { Message } from "./message.ts";
import type { Raft } from "./raft.ts";
import { alone, settle } from "./testing/host.ts";

const electionTicks = 10;

/** Steps for a tick, and where in its first tick a clock begins. */
interface Clock {
  readonly tickSteps: number;
  readonly phaseSteps: number;
}

interface Case {
  readonly clockDriftTicks: number;
  readonly leader: Clock;
  readonly voter: Clock;
  readonly heartbeatTicks: number;
  /** Steps that a heartbeat and its answer are on their way. */
  readonly delaySteps: number;
  readonly cutStep: number;
}

class Pair {
  readonly leader: { readonly raft: Raft; readonly log: MemoryLog };
  readonly voter: { readonly raft: Raft; readonly log: MemoryLog };
  readonly #case: Case;
  readonly #underWay: { readonly atStep: number; readonly message: Message }[] = [];
  #step = 0;

  constructor(drawn: Case) {
    const options = { electionTicks, clockDriftTicks: drawn.clockDriftTicks, readMode: "lease" } as const;
    this.#case = drawn;
    this.leader = alone({ ...options, preVote: false, heartbeatTicks: drawn.heartbeatTicks });
    this.voter = alone({ ...options, id: 2 });
    const { raft, log } = this.leader;
    while (raft.status().role !== "candidate") raft.tick();
    settle(raft, log);
    raft.step({ type: "voteReply", from: 3, to: 1, term: 1, preVote: false, granted: true });
  }

  /** One step of true time: ticks that are due, then messages, then what the two have to say. */
  pass(isCut: boolean): void {
    const { leader, voter, delaySteps } = this.#case;
    this.#step++;
    const isDue = ({ tickSteps, phaseSteps }: Clock): boolean => (this.#step + phaseSteps) % tickSteps === 0;
    if (isDue(leader)) this.leader.raft.tick();
    if (isDue(voter)) this.voter.raft.tick();
    for (const { atStep, message } of this.#underWay)
      if (atStep === this.#step && !isCut) (message.to === 1 ? this.leader : this.voter).raft.step(message);
    for (const { raft, log } of [this.leader, this.voter])
      for (const { earlyMessages, messages } of settle(raft, log))
        for (const message of [...earlyMessages, ...messages])
          if (message.to !== 3 && message.type !== "vote") this.#underWay.push({ atStep: this.#step + delaySteps + 1, message });
  }

  isReadServed(): boolean {
    const { raft, log } = this.leader;
    raft.readIndex(this.#step);
    return settle(raft, log).some(({ reads }) => reads.some(({ context }) => context === this.#step));
  }

  doesVoterHelp(): boolean {
    const { raft, log } = this.voter;
    raft.step({ type: "vote", from: 3, to: 2, term: 2, preVote: true, force: false, lastIndex: 9, lastTerm: 1 });
    return settle(raft, log).some(({ messages }) => messages.some((message) => message.type === "voteReply" && message.granted));
  }
}

/** Within electionTicks of the slower clock the faster one is ahead by clockDriftTicks at most. */
const cases = fc
  .record({
    clockDriftTicks: fc.nat(electionTicks - 3),
    voterSteps: fc.integer({ min: 10, max: 40 }),
    slowness: fc.double({ min: 0, max: 1, noNaN: true }),
    phases: fc.tuple(fc.nat(1_000), fc.nat(1_000)),
    delaySteps: fc.nat(10),
    heartbeatTicks: fc.integer({ min: 1, max: 3 }),
    cutStep: fc.integer({ min: 100, max: 400 }),
  })
  .map(({ clockDriftTicks, voterSteps, slowness, phases, ...rest }): Case => {
    const leaderSteps = Math.floor(voterSteps * (1 + (slowness * clockDriftTicks) / electionTicks));
    return {
      clockDriftTicks,
      leader: { tickSteps: leaderSteps, phaseSteps: phases[0] % leaderSteps },
      voter: { tickSteps: voterSteps, phaseSteps: phases[1] % voterSteps },
      ...rest,
    };
  });

test("a leader that is cut off serves no read from the moment that its voter helps another", () => {
  let servedCount = 0;
  const keepsFaith = fc.property(cases, (drawn) => {
    const pair = new Pair(drawn);
    for (let step = 0; step < drawn.cutStep; step++) {
      pair.pass(false);
      if (step % 7 === 0) pair.isReadServed();
    }
    for (let isHelped = false; !isHelped;) {
      pair.pass(true);
      isHelped = pair.doesVoterHelp();
      const isServed = pair.isReadServed();
      servedCount += isServed ? 1 : 0;
      expect(isServed && isHelped).toBe(false);
    }
  });
  fc.assert(keepsFaith, { numRuns: 500 });
  expect(servedCount).toBeGreaterThan(5_000);
});
