/** Test equipment: servers in memory, models, conformance suites. Never a runtime dependency. */
export { MemoryRemote } from "./memory-remote.ts";
export { MemoryServer } from "./memory-server.ts";
export type { MemoryServerOptions } from "./memory-server.ts";
