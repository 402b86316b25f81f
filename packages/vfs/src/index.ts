/** @cfs/vfs */
export {};
