/**
 * Where copies of the state are looked for at start: wherever one ever was, and on as many other drives as are wanting.
 *
 * Copies move when drives come and go, and the order of the drives on the command line means nothing; the freshest copies win when they are opened.
 */
import { readdir } from "node:fs/promises";
import type { Drive } from "@cfs/storage";

/** Copies of the state, each on a drive of its own. */
export const stateCopies = 3;

export async function stateDirectories(drives: readonly Drive[]): Promise<string[]> {
  const paths = drives.map(({ statePath }) => statePath);
  const isThere = await Promise.all(paths.map(holdsSomething));
  const known = paths.filter((_, index) => isThere[index] === true);
  const others = paths.filter((path) => !known.includes(path));
  return [...known, ...others.slice(0, Math.max(0, stateCopies - known.length))];
}

async function holdsSomething(path: string): Promise<boolean> {
  const names = await readdir(path).catch(() => []);
  return names.length > 0;
}
