/** @cfs/storage */
export {};
