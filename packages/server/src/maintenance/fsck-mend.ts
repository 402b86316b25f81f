/**
 * Brings what a check found and can prove into the log: sums by their differences, marks and lists judged anew, nameless files into the root.
 *
 * A few hundred items per command, one command at a time: mounts go on in between. Applying something twice does no harm but to sums, so a sum
 * is mended only from a check that was made after the last mending (fsck.ts).
 */
import { mendItemsMax } from "@cfs/metadata";
import type { Command, MendItem, Problem } from "@cfs/metadata";
import type { Engine } from "../engine/engine.ts";
import { commitOwn } from "../engine/own-command.ts";

/** Items with lists inside count as many as they hold. */
function weightOf(item: MendItem): number {
  if (item.kind === "segment") return 1 + item.refs.length / 8;
  if (item.kind === "extentBytes") return 1 + item.bytes.length / 8;
  return item.kind === "regions" ? 1 + item.indexes.length / 8 : 1;
}

async function propose({ driver }: Pick<Engine, "driver">, command: Command): Promise<void> {
  await commitOwn(driver, command, `a mending command (${command.type}) was refused`);
}

export async function mendProblems(
  engine: Pick<Engine, "driver" | "state">,
  problems: readonly Problem[],
  signal: AbortSignal,
): Promise<void> {
  let items: MendItem[] = [];
  let weight = 0;
  const send = async (): Promise<void> => {
    signal.throwIfAborted();
    if (items.length > 0) await propose(engine, { type: "mend", items });
    items = [];
    weight = 0;
  };
  for (const mend of problems.flatMap(({ mends }) => mends)) {
    if (mend.kind === "reap") {
      if (engine.state.inode(mend.ino)?.nlink === 0) await propose(engine, { type: "reap", ino: mend.ino });
      continue;
    }
    items.push(mend);
    weight += weightOf(mend);
    if (weight >= mendItemsMax) await send();
  }
  await send();
}
