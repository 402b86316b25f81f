/** An addon is stale when its sources have changed, not when they have only been written again. */
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { digestOfSources, digestPath, isAddonStale } from "./addon-sources.ts";

let workspace = "";
const source = (): string => `${workspace}crates/store/src/lib.rs`;

/** A source that is written at that second. */
function write(text: string, second: number): void {
  writeFileSync(source(), text);
  utimesSync(source(), second, second);
}

beforeEach(() => {
  workspace = `${mkdtempSync(join(tmpdir(), "cfs-addon-"))}/`;
  mkdirSync(`${workspace}crates/store/src`, { recursive: true });
  write("fn a() {}", 1_000);
  writeFileSync(digestPath(workspace), digestOfSources(workspace));
  writeFileSync(`${workspace}cfs.node`, "");
  for (const path of [digestPath(workspace), `${workspace}cfs.node`]) utimesSync(path, 2_000, 2_000);
});

afterEach(() => rmSync(workspace, { recursive: true }));

test("as it was built", () => {
  expect(isAddonStale(workspace)).toBe(false);
});

test("a source that was changed since", () => {
  write("fn b() {}", 3_000);
  expect(isAddonStale(workspace)).toBe(true);
});

test("a source that was checked out again and says the same", () => {
  write("fn a() {}", 3_000);
  expect(isAddonStale(workspace)).toBe(false);
});

test("an addon that was put there after the build", () => {
  write("fn b() {}", 3_000);
  utimesSync(`${workspace}cfs.node`, 4_000, 4_000);
  expect(isAddonStale(workspace)).toBe(false);
});

test("an addon whose build left no digest, and one without sources", () => {
  write("fn b() {}", 3_000);
  rmSync(digestPath(workspace));
  expect(isAddonStale(workspace)).toBe(false);
  writeFileSync(digestPath(workspace), "of another machine");
  rmSync(`${workspace}crates`, { recursive: true });
  expect(isAddonStale(workspace)).toBe(false);
});
