/** @cfs/testkit */
export {};

export { ioSuite } from "./conformance/io-suite.ts";
export type { IoFixture } from "./conformance/io-suite.ts";
export { transportSuite } from "./conformance/transport-suite.ts";
export type { TransportSuiteOptions, TransportUnderTest } from "./conformance/transport-suite.ts";
/** Conformance suites, models and simulators for tests of every package. */
export { kvSuite } from "./conformance/kv-suite.ts";
export type { KvSuiteFactory } from "./conformance/kv-suite.ts";
