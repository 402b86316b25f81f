/** Steps one after the other, and one beside them: what is printed when, and what the exit code says. */
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

function run(steps: readonly { readonly script: string; readonly isBeside?: boolean }[]): { code: number | null; lines: string[] } {
  const list = steps.map(({ script, isBeside }, at) => ({ name: `step ${at + 1}`, command: ["sh", "-c", script], isBeside }));
  const program = `
    import { runSteps } from ${JSON.stringify(new URL("steps.ts", import.meta.url).href)};
    process.exit(await runSteps(${JSON.stringify(list)}));`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" });
  return { code: status, lines: `${stdout}${stderr}`.split("\n").filter((line) => line !== "" && !line.startsWith("── ")) };
}

test("a failure stops what follows, and its code is that of all", () => {
  expect(run([{ script: "echo one" }, { script: "exit 3" }, { script: "echo three" }])).toEqual({
    code: 3,
    lines: ["one", "step 2 failed"],
  });
});

test("a step beside others prints when it has ended, and nothing comes after the last step", () => {
  const steps = [{ script: "echo begins; sleep 0.3; echo ends", isBeside: true }, { script: "echo one" }, { script: "sleep 1; echo last" }];
  expect(run(steps)).toEqual({ code: 0, lines: ["one", "begins", "ends", "last"] });
});

test("a step beside others is waited for, and its failure is one of all", () => {
  expect(run([{ script: "sleep 0.5; echo late; exit 4", isBeside: true }, { script: "echo last" }])).toEqual({
    code: 4,
    lines: ["last", "late", "step 1 failed"],
  });
});

test("a failure ends the step beside it", () => {
  const { code } = run([{ script: "exec sleep 60", isBeside: true }, { script: "exit 5" }]);
  expect(code).toBe(5);
}, 20_000);
