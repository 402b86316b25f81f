/** @cfs/client */
export {};
