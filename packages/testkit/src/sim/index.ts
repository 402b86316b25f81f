/** The simulator: an engine for any cluster, and the families of runs that try to break consensus and membership. */
export { EventQueue } from "./engine/event-queue.ts";
export { SimClock } from "./engine/sim-clock.ts";
export { SimDisk } from "./engine/sim-disk.ts";
export { SimNetwork } from "./engine/sim-network.ts";
export type { NetworkFaults } from "./engine/sim-network.ts";
export { SimProcess } from "./engine/sim-process.ts";
export { SimRandom } from "./engine/sim-random.ts";
export { Simulation } from "./engine/simulation.ts";
export { Trace } from "./engine/trace.ts";
export type { Family, RunOptions, RunOutcome } from "./family.ts";
export { families, familyOf } from "./families.ts";
export { promiseOf, SafetyViolation } from "./violation.ts";
