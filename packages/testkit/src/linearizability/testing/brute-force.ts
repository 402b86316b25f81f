/**
 * The verdict by trying everything: a second way to it, for histories of some tens of operations, that shares nothing with the search but the model.
 *
 * The history is walked from call to answer, with every world that is still possible: a state, and the operations that are under way and have happened
 * already. At an answer each world does what is under way in every order until the answered operation has happened; worlds where it did not happen as
 * it was answered are dropped. None left: no order explains the history.
 */
import type { Model } from "../checker.ts";
import type { Operation } from "../history.ts";

interface World<State> {
  readonly state: State;
  /** Under way, by number, and has happened. */
  readonly happened: ReadonlySet<number>;
}

export function isLinearizableByForce<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
): boolean {
  const moments = operations.flatMap(({ calledAt, answeredAt }, number) =>
    answeredAt === null
      ? [{ at: calledAt, number, isCall: true }]
      : [
          { at: calledAt, number, isCall: true },
          { at: answeredAt, number, isCall: false },
        ],
  );
  moments.sort((one, other) => one.at - other.at);
  const underWay = new Set<number>();
  let worlds: readonly World<State>[] = [{ state: model.initial, happened: new Set() }];
  for (const { number, isCall } of moments) {
    if (isCall) {
      underWay.add(number);
      continue;
    }
    worlds = answered(model, operations, worlds, underWay, number);
    if (worlds.length === 0) return false;
    underWay.delete(number);
  }
  return true;
}

/** Every world in which operation `number` has happened, which is forgotten as under way. */
function answered<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
  worlds: readonly World<State>[],
  underWay: ReadonlySet<number>,
  number: number,
): readonly World<State>[] {
  const known = new Map<string, World<State>>();
  const rest = [...worlds];
  for (let world = rest.pop(); world !== undefined; world = rest.pop()) {
    const key = `${model.keyOf(world.state)} ${[...world.happened].toSorted((one, other) => one - other).join()}`;
    if (known.has(key)) continue;
    known.set(key, world);
    // Nothing need happen after the answered operation before the answer: what can, can as well happen at the next one.
    if (world.happened.has(number)) continue;
    for (const next of underWay) {
      if (world.happened.has(next)) continue;
      const { input, output } = operations[next] as Operation<Input, Output>;
      const state = model.step(world.state, input, output);
      if (state !== null) rest.push({ state, happened: new Set([...world.happened, next]) });
    }
  }
  return [...known.values()]
    .filter(({ happened }) => happened.has(number))
    .map(({ state, happened }) => ({ state, happened: new Set([...happened].filter((other) => other !== number)) }));
}
