/**
 * Says whether the addon was built from the Rust sources that lie beside it: in a checkout they change with every pull, and an old addon under new
 * TypeScript fails in ways that nobody can explain.
 *
 * The build writes the digest of its sources to `cfs.node.sources`, after the addon: one that came there later, by hand, is not the one that the digest is
 * of. It is only computed again when a source is newer than the addon, because that takes milliseconds and looking at times does not. Without the file, or
 * without sources, as in a package, nothing is known and nothing is said.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";

/** Where the build leaves what it was built from; `workspace` ends with a slash. */
export function digestPath(workspace: string): string {
  return `${workspace}cfs.node.sources`;
}

function sourcesOf(workspace: string): string[] {
  const found = ["Cargo.toml", "Cargo.lock"].filter((name) => existsSync(workspace + name));
  for (const folder of ["addon", "crates"]) {
    if (!existsSync(workspace + folder)) continue;
    for (const name of readdirSync(workspace + folder, { recursive: true, encoding: "utf8" }))
      if (/\.(rs|toml|c|h)$/.test(name) && !/(^|\/)(target|node_modules)\//.test(name)) found.push(`${folder}/${name}`);
  }
  return found.toSorted();
}

export function digestOfSources(workspace: string): string {
  const hash = createHash("sha256");
  for (const name of sourcesOf(workspace)) hash.update(`\0${name}\0`).update(readFileSync(workspace + name));
  return hash.digest("hex");
}

/** True when the sources are others than those that `cfs.node` was built from. */
export function isAddonStale(workspace: string): boolean {
  if ([digestPath(workspace), `${workspace}cfs.node`, `${workspace}crates`].some((path) => !existsSync(path))) return false;
  const builtMs = statSync(digestPath(workspace)).mtimeMs;
  if (statSync(`${workspace}cfs.node`).mtimeMs > builtMs) return false;
  if (sourcesOf(workspace).every((name) => statSync(workspace + name).mtimeMs <= builtMs)) return false;
  return readFileSync(digestPath(workspace), "utf8") !== digestOfSources(workspace);
}
