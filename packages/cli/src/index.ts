/** The `cfs` command as a function, for tests and for programs that embed it; `main.ts` is the program itself. */
export { exitCodes } from "./exit.ts";
export type { ExitCode } from "./exit.ts";
export { runCli } from "./program.ts";
export type { Terminal } from "./output.ts";
