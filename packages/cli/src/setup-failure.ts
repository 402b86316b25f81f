/**
 * What is not installed: a package of npm or of this workspace, or the native addon, as after `git pull`.
 *
 * Imports nothing, because it has to work when an import of everything else failed.
 */

export interface SetupFailure {
  readonly code: "SETUP";
  readonly message: string;
  readonly next: string;
}

const next =
  "this checkout has changed since it was set up; run: npm run quickstart (or npm test), which installs and builds what is missing";

/** Node's errors about packages name them in quotes; a file of our own that is missing is a bug and says "module". */
function packageIn(reason: Error): string | null {
  const { code } = reason as NodeJS.ErrnoException;
  if (code === "ERR_MODULE_NOT_FOUND") return /^Cannot find package '([^']+)'/.exec(reason.message)?.[1] ?? null;
  if (code === "MODULE_NOT_FOUND") return /^Cannot find module '([^'./][^']*)'/.exec(reason.message)?.[1] ?? null;
  return null;
}

/** Null when the set-up is not what is wrong. */
export function setupFailure(reason: unknown): SetupFailure | null {
  for (let at: unknown = reason; at instanceof Error; at = at.cause) {
    const name = packageIn(at);
    if (name !== null) return { code: "SETUP", message: `the package ${name.replace(/^.*\/node_modules\//, "")} is not installed`, next };
    if (at.message.startsWith("cannot load the native addon")) return { code: "SETUP", message: at.message, next };
  }
  return null;
}
