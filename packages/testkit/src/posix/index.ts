/** System tests on a real directory: where they run, how their C programs are built, how their results are judged. */
export { buildC } from "./c-program.ts";
export type { CProgram } from "./c-program.ts";
export { groupCases, listCases, parseResult, runCases } from "./case-runner.ts";
export type { CaseResult, CaseStatus } from "./case-runner.ts";
export { judge, knownGaps } from "./known-gaps.ts";
export type { KnownGaps, Verdict } from "./known-gaps.ts";
export { kindOf, openDirectoryBelow, openReferenceDirectory, openTestDirectory } from "./test-directory.ts";
export type { FileSystemKind, TestDirectory } from "./test-directory.ts";
export { missingPrograms, Workplace } from "./workplace.ts";
export type { ShellOptions } from "./workplace.ts";
