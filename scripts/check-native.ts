/**
 * The checks of the Rust workspace: format, clippy without warnings, tests in release mode. Use: pnpm test:native
 *
 * Tests share the release profile with the addon, so that the dependencies are compiled once.
 */
import { fileURLToPath } from "node:url";
import { runSteps } from "./steps.ts";

const cwd = fileURLToPath(new URL("../native/", import.meta.url));

process.exitCode = await runSteps([
  { name: "Rust format", command: ["cargo", "fmt", "--all", "--check"], cwd },
  { name: "clippy", command: ["cargo", "clippy", "--release", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], cwd },
  { name: "Rust tests", command: ["cargo", "test", "--release", "--workspace", "--locked", "--quiet"], cwd },
]);
