/** Loads the addon that `pnpm native` builds; the only place that knows where it lies. */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

export function loadAddon(): unknown {
  const path = fileURLToPath(new URL("../cfs.node", import.meta.url));
  try {
    return createRequire(import.meta.url)(path);
  } catch (cause) {
    const why = cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause);
    throw new Error(`cannot load the native addon ${path}: ${why}`, { cause });
  }
}
