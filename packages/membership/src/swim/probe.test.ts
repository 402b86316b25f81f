/** The order in which members are probed, and what silence means. */
import { expect, it } from "vitest";
import { aliveOf, Stranger, swimOf } from "../testing/stranger.ts";

/** How often each member is pinged first in this time; every ping is answered at once. */
function probesOf(swim: ReturnType<typeof swimOf>, stranger: Stranger, forMs: number): Map<string, number> {
  const counts = new Map<string, number>();
  stranger.heard();
  for (let passedMs = 0; passedMs < forMs; passedMs += 100) {
    stranger.run(100);
    for (const { message } of stranger.heard()) {
      if (message.type !== "ping") continue;
      counts.set(message.target, (counts.get(message.target) ?? 0) + 1);
      stranger.say([{ type: "ack", seq: message.seq }]);
    }
  }
  return counts;
}

it("a word of a member that comes while it is probed is an answer, too: it is not suspected in its new incarnation", () => {
  const swim = swimOf();
  const stranger = new Stranger(swim);
  stranger.say([aliveOf("b")]);
  stranger.run(300);
  expect(stranger.heard().some(({ message }) => message.type === "ping" && message.target === "b")).toBe(true);
  stranger.say([aliveOf("b", 2)]);
  stranger.run(400);
  expect([swim.counters.probesFailed, swim.member("b")?.state]).toEqual([1, "alive"]);
  // The next silence is one.
  stranger.run(1_500);
  expect(swim.member("b")?.state).toBe("suspect");
});

it("one that dies and comes back again and again takes no probes from the others", () => {
  const swim = swimOf();
  const stranger = new Stranger(swim);
  stranger.say(["b", "c", "d"].map((name) => aliveOf(name)));
  for (let incarnation = 1; incarnation < 200; incarnation++) {
    stranger.say([{ type: "dead", name: "b", incarnation, from: "c" }, aliveOf("b", incarnation + 1)]);
  }
  const counts = probesOf(swim, stranger, 12_000);
  expect([...counts.keys()].sort()).toEqual(["b", "c", "d"]);
  expect(Math.max(...counts.values())).toBeLessThan(12);
});

it("one that is accused and cleared again and again takes no probes from the others", () => {
  const swim = swimOf();
  const stranger = new Stranger(swim);
  stranger.say(["b", "c", "d"].map((name) => aliveOf(name)));
  // By turns, so that none of them is the last one that was drawn forward.
  for (let round = 1; round < 100; round++)
    for (const name of ["b", "c"]) stranger.say([{ type: "suspect", name, incarnation: round, from: "d" }, aliveOf(name, round + 1)]);
  const counts = probesOf(swim, stranger, 12_000);
  expect(counts.get("d")).toBeGreaterThan(3);
});
