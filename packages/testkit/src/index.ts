/** @cfs/testkit */
export {};

export { ioSuite } from "./conformance/io-suite.ts";
export type { IoFixture } from "./conformance/io-suite.ts";
