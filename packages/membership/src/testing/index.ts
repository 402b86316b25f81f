/** Equipment for tests of membership: a simulation of many cores, and an Aead and a Random that are the same on every machine. */
export { GossipSimulation } from "./gossip-simulation.ts";
export type { LoggedEvent, SimulatedNode, SimulationOptions } from "./gossip-simulation.ts";
export { seededRandom } from "./seeded-random.ts";
export { sumAead } from "./sum-aead.ts";
export { plantedSwimBugs } from "./planted.ts";
export type { PlantedSwimBug } from "./planted.ts";
export { scenarios } from "./scenarios.ts";
export type { Scenario } from "./scenarios.ts";
export { ViewChecker } from "./view-checker.ts";
