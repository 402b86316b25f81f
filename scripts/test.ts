/**
 * Everything that `npm test` checks after the set-up: types, lint, format, tidy, Rust, the simulator's share, then unit and system tests.
 *
 * vitest runs last, both projects in one run, so that the whole output ends with its closing lines.
 */
import { fileURLToPath } from "node:url";
import { runSteps } from "./steps.ts";

const node = process.execPath;
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

process.chdir(here("../"));
process.exitCode = await runSteps([
  { name: "types", command: ["tsc", "-b"] },
  { name: "lint", command: ["oxlint"] },
  { name: "format", command: ["oxfmt", "--check"] },
  { name: "tidy", command: [node, here("tidy.ts")] },
  { name: "native", command: [node, here("check-native.ts")] },
  { name: "simulator", command: [node, "--conditions=cfs-source", "--disable-warning=ExperimentalWarning", here("sim.ts"), "--ci"] },
  { name: "unit and system tests", command: ["vitest", "run", ...process.argv.slice(2)] },
]);
