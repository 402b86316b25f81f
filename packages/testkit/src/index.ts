/** Test equipment: servers in memory, testbeds of real processes, models, conformance suites. Never a runtime dependency. */
export { Cluster, ClusterMount, startCluster, whyNoMounts, withCluster } from "./cluster/cluster.ts";
export type { ClusterMountOptions, ClusterOptions } from "./cluster/cluster.ts";
export { driveKinds, TestDrive, whyNoDrives } from "./cluster/drive-bed.ts";
export type { DriveKind } from "./cluster/drive-bed.ts";
export { run, scriptArguments } from "./cluster/program.ts";
export type { CommandResult } from "./cluster/program.ts";
export { ioSuite } from "./conformance/io-suite.ts";
export type { IoFixture } from "./conformance/io-suite.ts";
export { kvSuite } from "./conformance/kv-suite.ts";
export type { KvSuiteFactory } from "./conformance/kv-suite.ts";
export { transportSuite } from "./conformance/transport-suite.ts";
export type { TransportSuiteOptions, TransportUnderTest } from "./conformance/transport-suite.ts";
export { ManualClock } from "./manual-clock.ts";
export { MemoryRemote } from "./memory-remote.ts";
export { MemoryServer } from "./memory-server.ts";
export type { MemoryServerOptions } from "./memory-server.ts";
