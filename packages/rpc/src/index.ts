/** @cfs/rpc */
export {};
