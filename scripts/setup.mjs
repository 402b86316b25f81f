/**
 * Prepares a checkout and runs what was asked for: `npm run quickstart` and `npm test` both start here.
 *
 * Plain JavaScript for Node 20 without dependencies, because it runs before anything is installed. It puts the pinned Node and
 * pnpm into .toolchain/, the packages into node_modules/ and the addon into native/, and never touches the machine's own Node.
 * Invariant: a step leaves its stamp only after it succeeded, so an interrupted set-up goes on where it stopped.
 * The pinned versions stand in package.json (engines); the steps are in scripts/setup/.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { installPackages } from "./setup/packages.mjs";
import { buildNative } from "./setup/native.mjs";
import { checkSystem } from "./setup/system.mjs";
import { installToolchain } from "./setup/toolchain.mjs";
import { SetupProblem, lockCheckout, pinnedEnvironment, pinnedNode, root } from "./setup/step.mjs";

const scriptByTask = { quickstart: "quickstart.ts", test: "test.ts" };
const [task = "only", ...rest] = process.argv.slice(2);

/** `stop` and `destroy` of the quickstart must work even where nothing can be built any more. */
function needsSetup() {
  return !(task === "quickstart" && (rest[0] === "stop" || rest[0] === "destroy"));
}

async function setUp() {
  const unlock = lockCheckout();
  try {
    await checkSystem(task === "test" ? "test" : "run");
    await installToolchain();
    await installPackages();
    await buildNative();
  } finally {
    unlock();
  }
}

/** Runs the task under the pinned Node. Ctrl-C reaches the task itself, which tidies up; SIGTERM is handed on. This process waits for it. */
async function runTask(script) {
  if (!existsSync(pinnedNode)) throw new SetupProblem("this checkout is not set up, so there is nothing to stop or destroy");
  const args = ["--conditions=cfs-source", "--disable-warning=ExperimentalWarning", join(root, "scripts", script), ...rest];
  const child = spawn(pinnedNode, args, { cwd: process.env.INIT_CWD ?? process.cwd(), stdio: "inherit", env: pinnedEnvironment() });
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  const [code] = await once(child, "exit");
  return code ?? 130;
}

async function main() {
  if (task !== "only" && !(task in scriptByTask)) {
    throw new SetupProblem(`unknown task "${task}"`, "Use: npm run quickstart [-- MOUNTPOINT|stop|destroy], or npm test");
  }
  if (needsSetup()) await setUp();
  return task === "only" ? 0 : runTask(scriptByTask[task]);
}

try {
  process.exitCode = await main();
} catch (reason) {
  if (!(reason instanceof SetupProblem)) throw reason;
  console.error(`\ncfs set-up: ${reason.message}${reason.cure ? `\n  ${reason.cure}` : ""}`);
  process.exitCode = reason.exitCode;
}
