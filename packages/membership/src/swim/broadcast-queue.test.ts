import { expect, it } from "vitest";
import { BroadcastQueue } from "./broadcast-queue.ts";

const frame = (text: string): Uint8Array => Buffer.from(text);
const taken = (queue: BroadcastQueue, room: number, max = 3): string[] =>
  queue.take(room, max).map((bytes) => Buffer.from(bytes).toString());

it("sends what was sent least first, each a bounded number of times", () => {
  const queue = new BroadcastQueue();
  queue.add("a", null, frame("aaaa"));
  expect(taken(queue, 4)).toEqual(["aaaa"]);
  queue.add("b", null, frame("bbbb"));
  expect([taken(queue, 4), taken(queue, 4), taken(queue, 8), taken(queue, 8)]).toEqual([["bbbb"], ["aaaa"], ["bbbb", "aaaa"], ["bbbb"]]);
  expect([queue.size, queue.has("a"), queue.has("b")]).toEqual([0, false, false]);
});

it("replaces what it knows of a subject, and keeps variants side by side until then", () => {
  const queue = new BroadcastQueue();
  queue.add("a", "x", frame("one"));
  queue.add("a", "y", frame("two"));
  queue.add("a", "x", frame("three"));
  expect(queue.size).toBe(2);
  queue.add("a", null, frame("four"));
  expect([queue.size, taken(queue, 100)]).toEqual([1, ["four"]]);
  queue.drop("a");
  expect([queue.size, taken(queue, 100)]).toEqual([0, []]);
});

it("fills a packet with what fits, and does not search for ever", () => {
  const queue = new BroadcastQueue();
  for (let index = 0; index < 50; index++) queue.add(`large ${index}`, null, frame("x".repeat(100)));
  queue.add("small", null, frame("s"));
  expect(taken(queue, 150)).toEqual(["x".repeat(100)]);
  const short = new BroadcastQueue();
  short.add("large", null, frame("x".repeat(100)));
  short.add("small", null, frame("s"));
  expect(taken(short, 50)).toEqual(["s"]);
});
