/**
 * Truncates that had begun when the server stopped are ended, before anybody is served: nothing has come after them, so what is past the size that was asked
 * for is what should be gone. A client that comes back and sends its truncate again finds it done.
 */
import type { Clock, Logger } from "@cfs/core";
import { listTruncations } from "@cfs/metadata";
import type { Command, KvState, SetAttributes, ShardDriver } from "@cfs/metadata";
import { stepsOf } from "./bounded-steps.ts";

export interface TruncationsParts {
  readonly state: KvState;
  readonly driver: Pick<ShardDriver, "propose" | "durable">;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** As many as one session has at a time is one; more would come from many starts that ended early. */
const listMax = 1_000;

export async function endTruncations(parts: TruncationsParts): Promise<void> {
  for (const { ino, sizeBytes } of await listTruncations(parts.state, 0, listMax)) {
    const inode = parts.state.inode(ino);
    const isOpen = inode !== null && inode.kind === "file" && inode.sizeBytes > sizeBytes;
    if (isOpen) {
      parts.logger.info("a truncate that had begun before the start is ended", { ino, fromBytes: inode.sizeBytes, toBytes: sizeBytes });
      await truncate(parts, { ...sizeOnly, ino, sizeBytes, time: parts.clock.wallTime() });
    }
    await run(parts, { type: "intendTruncate", ino, sizeBytes: null });
  }
}

const sizeOnly = {
  type: "setAttributes",
  mode: null,
  uid: null,
  gid: null,
  atime: null,
  mtime: null,
  ctime: null,
  isTouch: false,
  killSetId: false,
  caller: { uid: 0, gid: 0, groups: null },
} as const;

async function truncate(parts: TruncationsParts, command: SetAttributes): Promise<void> {
  const steps = stepsOf(parts.state, command);
  for (let step = steps.next(); ; step = steps.next()) {
    await run(parts, step.value);
    if (step.done) return;
  }
}

async function run({ driver }: TruncationsParts, command: Command): Promise<void> {
  const { place } = driver.propose({ command, clientId: null, seq: 0, payload: [] });
  await driver.durable(place.index);
}
