/** Who is let go after an interrupt, and when. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { systemClock } from "@cfs/core";
import { expect, onTestFinished, test } from "vitest";
import { Interrupts, isDying } from "./interrupts.ts";

test("one whom no signal kills waits on; when a later one does, it is let go; an answer ends the looking", () => {
  const timers: (() => void)[] = [];
  const clock = {
    ...systemClock(),
    after: (_delayMs: number, callback: () => void) => (timers.push(callback), () => void (timers.length = 0)),
  };
  const dying = new Set([1]);
  const letGo: number[] = [];
  const interrupts = new Interrupts({ clock, isDying: (id) => dying.has(id) }, ({ threadId }) => void letGo.push(threadId));
  const later = { threadId: 2, isAnswered: false };
  const answered = { threadId: 3, isAnswered: false };
  for (const request of [{ threadId: 1, isAnswered: false }, later, answered]) interrupts.add(request);
  expect([letGo, timers.length]).toEqual([[1], 1]);
  timers.pop()?.();
  expect([letGo, timers.length]).toEqual([[1], 1]);
  dying.add(2).add(3);
  answered.isAnswered = true;
  timers.pop()?.();
  expect([letGo, timers.length]).toEqual([[1, 2], 0]);
  interrupts.add({ threadId: 4, isAnswered: false });
  interrupts.close();
  expect(timers.length).toBe(0);
});

test("a process is not dying because of a signal that it handles or that stops it; one that is gone is", async () => {
  const child = spawn("sleep", ["60"]);
  onTestFinished(() => void child.kill("SIGKILL"));
  const pid = child.pid ?? 0;
  child.kill("SIGSTOP");
  expect([isDying(process.pid), isDying(pid), isDying(0)]).toEqual([false, false, true]);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(isDying(pid)).toBe(true);
});
