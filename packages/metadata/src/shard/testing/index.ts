/** For tests and the simulator only. */
export { driverRulesWithBug, plantedDriverBugs } from "./planted.ts";
