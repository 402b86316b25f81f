/** Conformance suites, models and simulators for tests of every package. */
export { kvSuite } from "./conformance/kv-suite.ts";
export type { KvSuiteFactory } from "./conformance/kv-suite.ts";
