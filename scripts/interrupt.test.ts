/** What a set-up or a check started ends with it: nobody wants a compiler that goes on after Ctrl-C. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test, vi } from "vitest";
import { processStart } from "./quickstart/state.ts";

const file = (path: string): string => JSON.stringify(fileURLToPath(new URL(path, import.meta.url)));
/** As cargo is one: a program that starts another, and tells its number. */
const driver = JSON.stringify(["-c", "sleep 600 & echo $!; wait"]);

/** Runs the program, ends it by the signal when it has told the number of its grandchild, and waits until that is gone, too. */
async function interrupt(program: string, signal: NodeJS.Signals): Promise<number | null> {
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: ["ignore", "pipe", "ignore"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout });
  const told = Promise.withResolvers<number>();
  lines.on("line", (line) => {
    if (/^\d+$/.test(line)) told.resolve(Number(line));
  });
  const grandchild = await told.promise;
  onTestFinished(() => {
    if (processStart(grandchild) !== null) process.kill(grandchild, "SIGKILL");
  });
  child.kill(signal);
  const [code] = (await once(child, "exit")) as [number | null];
  await vi.waitFor(() => expect(processStart(grandchild)).toBeNull(), { timeout: 5_000 });
  return code;
}

test.each(["SIGINT", "SIGTERM"] as const)("a set-up step that gets %s takes along what it started", async (signal) => {
  const program = `
    import { run } from ${file("./setup/step.mjs")};
    await run("sh", ${driver}).catch((reason) => process.exit(reason.exitCode));`;
  expect(await interrupt(program, signal)).toBe(130);
});

test("steps end when the process that runs them is told to", async () => {
  const program = `
    import { runSteps } from ${file("./steps.ts")};
    process.exit(await runSteps([{ name: "one", command: ["sh", "-c", "echo $$; exec sleep 600"] }, { name: "two", command: ["true"] }]));`;
  expect(await interrupt(program, "SIGTERM")).toBe(130);
});
