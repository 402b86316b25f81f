/** For tests and benchmarks of FUSE in other packages; never a runtime dependency. */
export { TreeVfs } from "./tree-vfs.ts";
export type { TreeVfsOptions } from "./tree-vfs.ts";
