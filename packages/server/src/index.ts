/** @cfs/server */
export {};
