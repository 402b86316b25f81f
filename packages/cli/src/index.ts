/** @cfs/cli */
export {};
