/** A storage node: the engine, its admin service, and the composition root of `cfs server`. */
export type { MoveDetails, NodeDetails, SessionDetails } from "./admin/details.ts";
export type { Health, HealthFacts, HealthLevel } from "./admin/health.ts";
export type { SpaceReport } from "./admin/space.ts";
export { startServer } from "./main.ts";
export type { RunningServer, ServerOptions } from "./main.ts";
