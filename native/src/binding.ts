/** Loads the addon that `pnpm native` builds; the only place that knows where it lies. */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { isAddonStale } from "./addon-sources.ts";

const workspace = fileURLToPath(new URL("../", import.meta.url));
/** Looked at once. */
let isStale: boolean | null = null;

export function loadAddon(): unknown {
  const path = `${workspace}cfs.node`;
  isStale ??= isAddonStale(workspace);
  if (isStale) throw new Error(`cannot load the native addon ${path}: it was built from older sources than those beside it`);
  try {
    return createRequire(import.meta.url)(path);
  } catch (cause) {
    const why = cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause);
    throw new Error(`cannot load the native addon ${path}: ${why}`, { cause });
  }
}
