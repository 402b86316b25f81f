/** @cfs/testkit */
export {};
