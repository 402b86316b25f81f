/** @cfs/testkit */
export {};

export { ioSuite } from "./conformance/io-suite.ts";
export type { IoFixture } from "./conformance/io-suite.ts";
export { transportSuite } from "./conformance/transport-suite.ts";
export type { TransportSuiteOptions, TransportUnderTest } from "./conformance/transport-suite.ts";
