/**
 * The checker against stored histories of testdata/histories, whose verdicts were found by force. With CFS_REWRITE=1 histories and verdicts are made anew.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

import { SimRandom } from "../sim/engine/sim-random.ts";
import { checkLinearizable } from "./checker.ts";
import { formatRegisterLog, loggedRegisterModel, parseRegisterLog } from "./register-log.ts";
import type { LoggedOperation } from "./register-log.ts";
import { isLinearizableByForce } from "./testing/brute-force.ts";
import { registerFaults, registerHistory } from "./testing/faulty-register.ts";
import type { RegisterFault } from "./testing/faulty-register.ts";

const folder = new URL("../../testdata/histories/", import.meta.url);
const verdictsFile = new URL("verdicts.txt", folder);
const verdictsHead = "# history verdict # fault of the register that it was made with; a fault need not show\n";
const perFault = 6;

const verdictOf = (operations: readonly LoggedOperation[]): string =>
  isLinearizableByForce(loggedRegisterModel, operations) ? "linearizable" : "violation";

function drawn(fault: RegisterFault, seed: number): readonly LoggedOperation[] {
  const random = new SimRandom(seed);
  const run = { fault, faultRate: 0.08, processCount: 4, operationCount: random.between(40, 100), lostMax: random.between(0, 4) };
  return registerHistory(random, run);
}

function rewrite(): void {
  const verdicts = registerFaults.flatMap((fault, kind) =>
    Array.from({ length: perFault }, (_, at) => {
      const name = `register-${String(kind * perFault + at).padStart(2, "0")}.txt`;
      const operations = drawn(fault, 1 + kind * 100 + at);
      writeFileSync(new URL(name, folder), formatRegisterLog(operations));
      return `${name} ${verdictOf(operations)} # ${fault}\n`;
    }),
  );
  writeFileSync(verdictsFile, verdictsHead + verdicts.join(""));
}

if (process.env["CFS_REWRITE"] === "1") rewrite();
const lines = readFileSync(verdictsFile, "utf8").split("\n");
const stored = lines.flatMap((line) => {
  const match = /^(\S+) (linearizable|violation) # (\w+)$/.exec(line);
  return match === null ? [] : [{ name: match[1] as string, verdict: match[2] as string, fault: match[3] as string }];
});

describe("stored histories", () => {
  test("are there, of both kinds", () => {
    expect(stored.length).toBe(registerFaults.length * perFault);
    for (const verdict of ["linearizable", "violation"]) expect(stored.filter((one) => one.verdict === verdict).length).toBeGreaterThan(7);
  });

  test.each(stored)("$name ($fault): $verdict", ({ name, verdict }) => {
    const text = readFileSync(new URL(name, folder), "utf8");
    const operations = parseRegisterLog(text);
    expect(formatRegisterLog(operations)).toBe(text);
    expect(checkLinearizable(loggedRegisterModel, operations).kind).toBe(verdict);
    expect(verdictOf(operations)).toBe(verdict);
  });
});

test("the search agrees with force on histories that nobody stored", () => {
  const counts = { linearizable: 0, violation: 0 };
  for (let seed = 1; seed <= 200; seed++) {
    const operations = drawn(registerFaults[seed % registerFaults.length] as RegisterFault, 10_000 + seed);
    const { kind } = checkLinearizable(loggedRegisterModel, operations);
    expect(kind, `seed ${seed}`).toBe(verdictOf(operations));
    if (kind !== "unknown") counts[kind]++;
  }
  expect(Math.min(counts.linearizable, counts.violation)).toBeGreaterThan(60);
});

test("answers that say they do not know are open, whatever the log has between the lines", () => {
  const text = [
    "INFO  jepsen.core - Running test",
    "INFO  jepsen.util - 0\t:invoke\t:write\t3",
    "INFO  jepsen.util - 1\t:invoke\t:cas\t[3 4]",
    "INFO  jepsen.util - 0\t:info\t:write\t:timed-out",
    "INFO  jepsen.util - 2\t:invoke\t:read\tnil",
    "INFO  jepsen.util - 2\t:fail\t:read\t:timed-out",
    "INFO  jepsen.util - 1\t:ok\t:cas\t[3 4]",
    "INFO  jepsen.util - 5\t:invoke\t:read\tnil",
    "INFO  jepsen.util - 5\t:ok\t:read\t4",
  ].join("\n");
  const operations = parseRegisterLog(text);
  expect(operations.map(({ client, answeredAt }) => [client, answeredAt === null])).toEqual([
    [0, true],
    [1, false],
    [2, true],
    [5, false],
  ]);
  expect(checkLinearizable(loggedRegisterModel, operations).kind).toBe("linearizable");
  const never = parseRegisterLog(text.replaceAll("[3 4]", "[2 4]"));
  expect(checkLinearizable(loggedRegisterModel, never).kind).toBe("violation");
});
