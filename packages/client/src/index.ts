/** A mount: session with the server, vfs and FUSE; the composition root of `cfs mount`. */
export { controlPath, queryMount, runDirectory } from "./control-socket.ts";
export type { MountStatus } from "./control-socket.ts";
export { listCfsMounts, listMounts } from "./mount-table.ts";
export type { MountEntry } from "./mount-table.ts";
export { cacheModes, checkMountpoint, mountCfs, unmountCfs } from "./mount.ts";
export type { CacheMode, Mounted, MountOptions, UnmountOptions } from "./mount.ts";
