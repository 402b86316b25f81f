/** For tests and the simulator only. */
export { plantedDriverBugs } from "./planted.ts";
export type { PlantedBug } from "./planted.ts";
