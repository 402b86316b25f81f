import { systemClock } from "@cfs/core";
import { expect, test } from "vitest";
import { reportWhile } from "./running-report.ts";

const clock = { ...systemClock(), after: (_delayMs: number, callback: () => void) => systemClock().after(1, callback) };
const never = new AbortController().signal;

test("reports come while the work runs, and a last one says that it is done", async () => {
  const work = Promise.withResolvers<void>();
  const seen: boolean[] = [];
  for await (const isDone of reportWhile(
    clock,
    never,
    () => work.promise,
    (done) => done,
  )) {
    seen.push(isDone);
    if (seen.length === 3) work.resolve();
  }
  expect(seen.slice(0, 3)).toEqual([false, false, false]);
  expect(seen.at(-1)).toBe(true);
});

test("a failure of the work is the reader's", async () => {
  const reports = reportWhile(
    clock,
    never,
    () => Promise.reject(new Error("the drive burns")),
    () => 0,
  );
  await expect(reports.next()).rejects.toThrow("the drive burns");
});

test("a reader who leaves stops the work and waits for it", async () => {
  let isStopped = false;
  const reports = reportWhile(
    clock,
    never,
    (signal) =>
      new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => {
          isStopped = true;
          resolve();
        });
      }),
    () => 0,
  );
  await reports.next();
  await reports.return();
  expect(isStopped).toBe(true);
});
