/** A mount: session with the server, vfs and FUSE; the composition root of `cfs mount`. */
export { queryMount } from "./control-socket.ts";
export type { MountAnswer, MountStatus } from "./control-socket.ts";
export { cacheModes, checkMountpoint, mountCfs, unmountCfs } from "./mount.ts";
export type { CacheMode, Mounted, MountOptions, UnmountOptions } from "./mount.ts";
