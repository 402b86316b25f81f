/** The native border: typed wrappers over the addon, one file per part. */
export { loadAddon } from "./binding.ts";
