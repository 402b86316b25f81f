/** For tests of hosts and for simulators: wrong rules to be found, and a small cluster. Never for production. */
export { Cluster, Replica, seededRandom } from "./cluster.ts";
export type { ClusterOptions } from "./cluster.ts";
export { plantedRaftBugs, rulesWithBug } from "./planted.ts";
