/** The native border: typed wrappers over the addon, one file per part. */
export { loadAddon } from "./binding.ts";

// FUSE
export { FuseDevice, fuseMount, fuseUnmount } from "./fuse.ts";
export type { FuseDeviceHandlers, FuseDeviceOptions, FuseLayout, FuseMountMethod, FuseMountOptions, FuseUnmountOptions } from "./fuse.ts";

export { openRing, ringCompletionWords, ringFlagDirect, ringHeaderWords, ringOperation, ringViewsMax, ringViewWords } from "./ring.ts";
export type { Ring, RingEngine, RingOptions } from "./ring.ts";
