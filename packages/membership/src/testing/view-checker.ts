/**
 * What must hold of the events of each node, whatever the network does. Feed it every event of every node; it returns what is wrong, or null.
 *
 * 1. Claims only grow: about one member, the order (incarnation, state) rises from event to event, until the name is reaped there.
 * 2. Nobody is sentenced unheard: a node that declares a death by its own verdict has suspected that incarnation before.
 * 3. A stop of the observer itself (a new life) begins its view anew: call `restarted`.
 */
import type { SwimEvent } from "../swim/events.ts";
import { type Claim, stateRanks } from "../swim/member.ts";

interface Seen {
  readonly claim: Claim;
  readonly suspectedIncarnation: number;
}

function isGreater(claim: Claim, held: Claim): boolean {
  if (claim.incarnation !== held.incarnation) return claim.incarnation > held.incarnation;
  return stateRanks[claim.state] > stateRanks[held.state];
}

export class ViewChecker {
  readonly #views = new Map<string, Map<string, Seen>>();

  restarted(observer: string): void {
    this.#views.delete(observer);
  }

  check(observer: string, event: SwimEvent): string | null {
    if (!("member" in event)) return null;
    let view = this.#views.get(observer);
    if (view === undefined) this.#views.set(observer, (view = new Map<string, Seen>()));
    const { member } = event;
    if (event.type === "reaped") {
      view.delete(member.name);
      return null;
    }
    const before = view.get(member.name);
    const suspectedIncarnation = event.type === "suspected" ? member.incarnation : (before?.suspectedIncarnation ?? 0);
    view.set(member.name, { claim: member, suspectedIncarnation });
    // A refutation that brings new metadata is two events of one claim.
    const isSame = event.type === "updated" && before !== undefined && !isGreater(before.claim, member);
    if (before !== undefined && !isSame && !isGreater(member, before.claim))
      return `${observer} sees ${member.name} go from ${textOf(before.claim)} to ${textOf(member)}`;
    if (event.type === "failed" && event.from === observer && suspectedIncarnation !== member.incarnation)
      return `${observer} declares ${member.name} dead at ${member.incarnation}, which it never suspected`;
    return null;
  }
}

function textOf({ incarnation, state }: Claim): string {
  return `${state}@${incarnation}`;
}
