/**
 * A command of the server's own, one that no client sent: proposed, and done when its entry is durable.
 *
 * Invariant: a refused command changed nothing, and is an error that names what was refused.
 */
import { CfsError } from "@cfs/core";
import type { Command, ShardDriver } from "@cfs/metadata";

/** @throws CfsError with the code of the refusal's errno */
export async function commitOwn(driver: ShardDriver, command: Command, refusal: string): Promise<void> {
  const { place, outcome } = driver.propose({ command, clientId: null, seq: 0, payload: [] });
  if (outcome.errno !== 0) throw CfsError.fromErrno(outcome.errno, refusal);
  await driver.durable(place.index);
}
