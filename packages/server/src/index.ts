/** A storage node: the engine, its admin service, and the composition root of `cfs server`. */
export { startServer } from "./main.ts";
export type { RunningServer, ServerOptions } from "./main.ts";
