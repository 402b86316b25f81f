/** dropContent: empties content that has lost its inode, in bounded steps; the last step takes it off the list of zombies. */
import type { DropContent } from "./commands.ts";
import { Accounts } from "./content/accounting.ts";
import { dropRegions } from "./content/file-ranges.ts";
import { done, fail } from "./outcome.ts";
import type { Outcome, State } from "./state.ts";

export function dropContent(state: State, command: DropContent): Outcome {
  const { content } = state;
  if (content === null || command.regionsMax < 1) return fail("INVALID");
  if (!content.isZombie(command.ino)) return fail("NOT_FOUND");
  const accounts = new Accounts(content);
  const isEmpty = dropRegions(content, accounts, command.ino, command.regionsMax);
  accounts.finish(null);
  if (isEmpty) content.setZombie(command.ino, false);
  return done;
}
