/** @cfs/metadata */
export {};
