import { expect, test } from "vitest";
import { type HealthFacts, judgeHealth } from "./health.ts";

const well: HealthFacts = {
  drives: [{ driveId: "aaaaaaaaaa", path: "/d1", state: "ok", reason: "" }],
  layout: { k: 4, m: 2 },
  repairQueued: 0,
  recodeWaiting: 0,
  homelessFragments: 0,
  repairProblems: [],
  damage: [],
  stateCopies: 3,
  stateCopiesWanted: 3,
  availableBytes: 1000,
  rooms: [{ path: "/d1", freeBytes: 20 << 20, reserveBytes: 30 << 20, hasBallast: true }],
  rawTotalBytes: 10_000,
  rawFreeBytes: 5_000,
  ioDescription: "io_uring",
  ioKind: "io_uring",
  fatal: null,
};

test("a node where all is well says nothing", () => {
  expect(judgeHealth(well)).toEqual({ level: "ok", warnings: [], notes: [] });
});

test("segments that are coded again are a note: nothing has to be done", () => {
  const { level, notes } = judgeHealth({ ...well, recodeWaiting: 12 });
  expect(level).toBe("ok");
  expect(notes).toEqual(["12 segments that were written while there were fewer drives wait to be coded again"]);
});

test.each<[string, Partial<HealthFacts>, "warning" | "critical", RegExp]>([
  [
    "a failed drive",
    { drives: [{ driveId: "bbbbbbbbbb", path: "/d2", state: "failed", reason: "it hangs" }] },
    "warning",
    /^drive bbbbbbbb \(\/d2\) is failed: it hangs; replace it: cfs admin drive replace bbbbbbbb/,
  ],
  [
    "a missing drive without a path",
    { drives: [{ driveId: "bbbbbbbbbb", path: "", state: "missing", reason: "" }] },
    "warning",
    /^drive bbbbbbbb is missing; bring it back: cfs admin drive add DIR, or replace it/,
  ],
  ["one drive only", { layout: { k: 1, m: 0 } }, "warning", /nothing is redundant/],
  ["no drive", { layout: null }, "critical", /no drive is healthy/],
  ["full drives", { availableBytes: 0 }, "critical", /writes get ENOSPC/],
  [
    "a drive that others filled",
    { rooms: [{ path: "/d3", freeBytes: 3 << 20, reserveBytes: 30 << 20, hasBallast: false }] },
    "critical",
    /^\/d3 has 3 MiB left, of the 30 MiB that cfs needs there/,
  ],
  [
    "a state that contradicts itself",
    { damage: ["chunk 1 of segment 2 …"] },
    "critical",
    /^the state contradicts itself.*cfs fsck --repair/,
  ],
  ["nearly full drives", { rawFreeBytes: 1_000 }, "warning", /90 % full/],
  ["fragments to repair", { repairQueued: 7 }, "warning", /7 fragments wait for repair/],
  ["fragments without a drive", { homelessFragments: 3 }, "warning", /3 fragments are missing and no drive is free/],
  ["a problem of repair", { repairProblems: ["fragment 1 of segment 2 is lost"] }, "critical", /fragment 1 of segment 2 is lost/],
  ["too few copies of the state", { stateCopies: 1 }, "warning", /the state has 1 of 3 copies/],
  ["a node that stopped", { fatal: "the journal broke" }, "critical", /this node has stopped: the journal broke/],
])("%s", (_name, facts, level, pattern) => {
  const health = judgeHealth({ ...well, ...facts });
  expect(health.level).toBe(level);
  expect(health.warnings.join("\n")).toMatch(pattern);
});

test("critical comes first, and many problems are counted", () => {
  const repairProblems = Array.from({ length: 9 }, (_, index) => `problem ${index}`);
  const { warnings } = judgeHealth({ ...well, repairProblems, repairQueued: 1 });
  expect(warnings).toEqual([...repairProblems.slice(0, 5), "4 more fragments could not be repaired", "1 fragments wait for repair"]);
});

test("what is by design is a note, and the node is well", () => {
  const health = judgeHealth({
    ...well,
    layout: { k: 2, m: 1 },
    ioKind: "threads",
    drives: [{ driveId: "cccccccccc", path: "/d3", state: "draining", reason: "" }],
  });
  expect(health).toMatchObject({ level: "ok", warnings: [] });
  expect(health.notes).toHaveLength(3);
});
