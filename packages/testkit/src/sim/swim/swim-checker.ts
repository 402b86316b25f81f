/**
 * The observer of a membership: what every node says about the others, at the moment it says so.
 *
 * Claims grow        about one member, (incarnation, state) only rises in the eyes of one observer, until the name is reaped there   (ViewChecker)
 * Heard first        who declares a death by its own verdict has suspected that incarnation before                                   (ViewChecker)
 * Time to answer     and has given it at least the shortest suspicion
 * Newest value       a named value never goes back at an observer; of two contents of one version one comes after the other, the same for all
 * Whole value        what an observer holds is what somebody published, never parts of two
 * Leave is no death  while nothing else is wrong, whoever says goodbye is seen to leave
 * No replay          a packet that was taken once is not taken again
 *
 * Source: SWIM (DSN 2002) section 4.2, Lifeguard section 3; the promises are those of docs/internals/membership.md.
 */
import { assert } from "@cfs/core";
import { nodeHash } from "@cfs/membership";
import type { Member, SwimEvent } from "@cfs/membership";
import { ViewChecker } from "@cfs/membership/testing";

import { SafetyViolation } from "../violation.ts";

/** Events that must not happen now; `about` null: to anybody. */
export interface Ban {
  readonly types: readonly SwimEvent["type"][];
  readonly about: (observer: string, subject: string) => boolean;
  readonly why: string;
}

export class SwimChecker {
  checkCount = 0;
  /** Set by trials, whose outcome is certain. */
  ban: Ban | null = null;
  readonly #shortestSuspicionMs: number;
  readonly #views = new ViewChecker();
  /** By observer, subject and incarnation: when it was suspected, by the observer's own clock. */
  readonly #suspectedMs: Map<string, number> = new Map();
  /** By observer and name: the version and hash that it holds. */
  readonly #values: Map<string, { readonly version: number; readonly hash: string }> = new Map();
  readonly #sessions: Set<string> = new Set();
  /** Name, version and hash of all that was published. */
  readonly #published: Set<string> = new Set();

  constructor(shortestSuspicionMs: number) {
    this.#shortestSuspicionMs = shortestSuspicionMs;
  }

  /** A new life of the observer begins with a view of its own. */
  restarted(observer: string): void {
    this.#views.restarted(observer);
    for (const map of [this.#suspectedMs, this.#values]) for (const key of map.keys()) if (key.startsWith(`${observer} `)) map.delete(key);
  }

  /** A life begins: two of one session would seal with the same nonces. */
  begins(observer: string, session: string): void {
    assert(!this.#sessions.has(session), `the session that ${observer} begins is its own`);
    this.#sessions.add(session);
  }

  /** A host gives this to its agent. */
  published(name: string, version: number, bytes: Uint8Array): void {
    this.#published.add(`${name} ${version} ${nodeHash(bytes)}`);
  }

  event(observer: string, clockMs: number, event: SwimEvent): void {
    this.checkCount++;
    const wrong = this.#views.check(observer, event);
    if (wrong !== null) throw new SafetyViolation("claims grow", wrong);
    if (event.type === "broadcast") this.#value(observer, event);
    if (!("member" in event)) return;
    const { member } = event;
    const { ban } = this;
    if (ban !== null && ban.types.includes(event.type) && ban.about(observer, member.name))
      throw new SafetyViolation(ban.why, `${observer} sees that ${member.name} ${event.type}`);
    if (event.type === "suspected") this.#suspectedMs.set(suspicion(observer, member), clockMs);
    if (event.type !== "failed" || event.from !== observer) return;
    const sinceMs = clockMs - (this.#suspectedMs.get(suspicion(observer, member)) ?? clockMs);
    if (sinceMs < this.#shortestSuspicionMs)
      throw new SafetyViolation(
        "time to answer",
        `${observer} gave ${member.name} ${Math.round(sinceMs)} ms, less than ${this.#shortestSuspicionMs}`,
      );
  }

  #value(observer: string, { name, version, bytes }: Extract<SwimEvent, { type: "broadcast" }>): void {
    const hash = nodeHash(bytes);
    if (!this.#published.has(`${name} ${version} ${hash}`))
      throw new SafetyViolation("whole value", `${observer} has something as version ${version} of ${name} that nobody published`);
    const key = `${observer} ${name}`;
    const before = this.#values.get(key) ?? { version: 0, hash: "" };
    if (version < before.version || (version === before.version && hash <= before.hash))
      throw new SafetyViolation("newest value", `${observer} went from version ${before.version} of ${name} to ${version}`);
    this.#values.set(key, { version, hash });
  }
}

function suspicion(observer: string, { name, incarnation }: Member): string {
  return `${observer} ${name} ${incarnation}`;
}
