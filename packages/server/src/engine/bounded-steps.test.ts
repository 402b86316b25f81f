/** Large truncates, punches and preallocations in steps, on a real state: the same end as at once, and no step that a program could not have made. */
import { assert, inodeNumber, rootInode } from "@cfs/core";
import type { InodeNumber, Name } from "@cfs/core";
import { applyCommand, KvState, locate, MemoryKv, regionBytes } from "@cfs/metadata";
import type { ClientCommand, Command, Inode } from "@cfs/metadata";
import { expect, test } from "vitest";
import { regionsPerStep, stepsOf } from "./bounded-steps.ts";

const change = { caller: { uid: 0, gid: 0, groups: null }, time: { sec: 1, nsec: 0 } } as const;
const ino = inodeNumber(1000, 0);
const size = 3_000 * regionBytes;

class Bed {
  readonly state = new KvState(new MemoryKv());

  constructor() {
    this.run({ type: "format", clusterId: "c", drives: [], uid: 0, gid: 0, time: change.time });
    const name = "f" as Name;
    this.run({ type: "makeNode", parent: rootInode, name, ino, kind: "file", mode: 0o644, umask: 0, rdev: 0, target: null, ...change });
  }

  run(command: Command): void {
    const { errno } = applyCommand(this.state, command, { clientId: null, payload: { fileId: 1, recordOffsetBytes: 0 } });
    assert(errno === 0, `${command.type} succeeds`);
  }

  get inode(): Inode {
    return this.state.inode(ino) ?? expect.unreachable("the file is there");
  }

  regions(): number {
    return (this.state.content.runs(ino)?.runs ?? []).reduce((sum, run) => sum + run.end - run.begin, 0);
  }

  /** 3,000 regions of data, one byte each, at the end of a hole when `base` is not 0. */
  fill(base = 0): void {
    for (let index = 0; index < 3_000; index++) {
      const source = { kind: "payload" } as const;
      const offsetBytes = base + (index + 1) * regionBytes - 1;
      this.run({ type: "write", ino, offsetBytes, lengthBytes: 1, source, setTimes: true, killSetId: false, spill: false, ...change });
    }
  }

  /** Runs all steps; the sizes after each, and how many regions each one changed at most. */
  play(command: ClientCommand): { sizes: number[]; changed: number[] } {
    const sizes: number[] = [];
    const changed: number[] = [];
    const apply = (step: Command): void => {
      const before = this.regions();
      this.run(step);
      sizes.push(this.inode.sizeBytes);
      changed.push(Math.abs(before - this.regions()));
    };
    const steps = stepsOf(this.state, command);
    for (let step = steps.next(); ; step = steps.next()) {
      apply(step.value);
      if (step.done) return { sizes, changed };
    }
  }
}

function truncateTo(sizeBytes: number, of: InodeNumber = ino): ClientCommand {
  const none = { uid: null, gid: null, atime: null, mtime: null, ctime: null } as const;
  return { type: "setAttributes", ino: of, sizeBytes, mode: 0o600, ...none, isTouch: false, killSetId: false, ...change };
}

test.each([0, 2 ** 50])("a dense file is cut from its end, never below what was asked for (data from %i on)", (base) => {
  const bed = new Bed();
  bed.fill(base);
  const { sizes, changed } = bed.play(truncateTo(base + 700));
  expect(sizes).toEqual([...sizes].toSorted((a, b) => b - a));
  // The intention comes first.
  expect(sizes.length).toBe(4);
  expect(bed.state.content.truncation(ino)).toBeNull();
  expect(Math.max(...changed)).toBeLessThanOrEqual(regionsPerStep);
  expect(bed.inode).toMatchObject({ sizeBytes: base + 700, allocatedBytes: 0, mode: 0o600 });
});

test("a small cut, a growth and a file that is gone are one command", () => {
  const bed = new Bed();
  bed.fill();
  expect(bed.play(truncateTo(size - 5)).sizes).toEqual([size - 5]);
  expect(bed.play(truncateTo(size * 2)).sizes).toEqual([size * 2]);
  const gone = truncateTo(0, inodeNumber(2000, 0));
  expect(stepsOf(bed.state, gone).next()).toEqual({ done: true, value: gone });
});

test("a punch goes from the end to the beginning and keeps what is around it", () => {
  const bed = new Bed();
  bed.fill();
  const punch = { type: "allocate", ino, action: "punch", keepSize: true, offsetBytes: 10, lengthBytes: size - 20, ...change } as const;
  const { sizes, changed } = bed.play(punch);
  expect(new Set(sizes)).toEqual(new Set([size]));
  expect(changed.length).toBe(3);
  expect(Math.max(...changed)).toBeLessThanOrEqual(regionsPerStep);
  expect(locate(bed.state.content, bed.inode, 0, size).filter(({ source }) => source.kind !== "hole")).toHaveLength(1);
});

test("a preallocation goes forward, and grows the file with its last step only", () => {
  const bed = new Bed();
  const reserve = { type: "allocate", ino, action: "reserve", keepSize: false, offsetBytes: 5_000, lengthBytes: size, ...change } as const;
  const { sizes, changed } = bed.play(reserve);
  expect(sizes).toEqual([0, 0, size + 5_000]);
  expect(Math.max(...changed)).toBeLessThanOrEqual(regionsPerStep);
  expect(bed.inode.allocatedBytes).toBe(size);
});
