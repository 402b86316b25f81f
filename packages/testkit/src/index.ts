/** Conformance suites, models and servers in memory for tests of every package. Never a runtime dependency. */
export { ioSuite } from "./conformance/io-suite.ts";
export type { IoFixture } from "./conformance/io-suite.ts";
export { kvSuite } from "./conformance/kv-suite.ts";
export type { KvSuiteFactory } from "./conformance/kv-suite.ts";
export { transportSuite } from "./conformance/transport-suite.ts";
export type { TransportSuiteOptions, TransportUnderTest } from "./conformance/transport-suite.ts";
export { NodeFiles } from "./conformance/node-files.ts";
export { VfsFiles } from "./conformance/posix-files.ts";
export type { FileStatus, PosixFiles } from "./conformance/posix-files.ts";
export { vfsCases, vfsSuite } from "./conformance/vfs-suite.ts";
export type { VfsCase, VfsUnderTest } from "./conformance/vfs-suite.ts";
export { ManualClock } from "./manual-clock.ts";
export { MemoryRemote } from "./memory-remote.ts";
export { MemoryServer } from "./memory-server.ts";
export type { MemoryServerOptions } from "./memory-server.ts";
