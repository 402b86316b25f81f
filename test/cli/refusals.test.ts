/** Starts that must fail: one line that says what to do, an exit code, and nothing changed on disk. Needs io_uring or threads, no mount. */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { cfs, listing, Place, type Ran } from "./cfs-process.ts";

const place = new Place();
let old: string[] = [];
let foreign: string[] = [];

beforeAll(async () => {
  old = place.directories("old1", "old2", "old3");
  foreign = place.directories("foreign");
  for (const drives of [old, foreign]) await (await place.serve(drives)).stop("SIGTERM");
});

afterAll(() => place.dispose());

function start(drives: readonly string[], ...flags: string[]): Ran {
  return cfs(["server", "start", ...drives.flatMap((drive) => ["--data", drive]), "--listen", "127.0.0.1:0", ...flags]);
}

/** One line with the code and what is wrong, at most one more with what to do; nothing on stdout. */
function expectRefusal(ran: Ran, code: number, pattern: RegExp): void {
  expect(ran).toMatchObject({ code, out: "" });
  expect(ran.err).toMatch(pattern);
  const lines = ran.err.trimEnd().split("\n");
  expect(lines.length, ran.err).toBeLessThanOrEqual(2);
  if (lines.length === 2) expect(lines[1]).toMatch(/^ {2}\S/);
}

function unchanged(drives: readonly string[], work: () => void): void {
  const before = listing(drives);
  work();
  expect(listing(drives)).toEqual(before);
}

let count = 0;
function empty(): string[] {
  count++;
  return place.directories(`new${count}a`, `new${count}b`);
}

test.each([
  ["an unknown flag", ["--drives", "6"], /^cfs: USAGE: unknown option '--drives'/],
  ["a wrong address", ["--listen", "no where"], /^cfs: USAGE: .*"no where" is not an address/],
  ["a wrong log level", ["--log", "loud"], /^cfs: USAGE: .*"loud" is not a log level/],
])("%s", (_name, flags, pattern) => {
  const drives = empty();
  unchanged([...drives, ...old], () => {
    expectRefusal(start(drives, ...flags), 2, pattern);
    expectRefusal(start(old, ...flags), 2, pattern);
  });
});

test("without most of the drives that hold the newest part of the journal, it says which, where they were, and what to do", async () => {
  const drives = place.directories("gone1", "gone2", "gone3");
  const away = drives.slice(1).map((path) => `${path}.away`);
  await (await place.serve(drives)).stop("SIGKILL");
  drives.slice(1).forEach((path, index) => renameSync(path, away[index] as string));
  const ran = start(drives.slice(0, 1));
  expectRefusal(ran, 1, /^cfs: NO_DEVICE: 2 of the 3 drives with the newest part of the journal are missing/);
  for (const path of drives.slice(1)) expect(ran.err).toContain(`last seen at ${path}`);
  expect(ran.err).toMatch(/--degraded/);
  away.forEach((path, index) => renameSync(path, drives[index + 1] as string));
  await (await place.serve(drives)).stop("SIGTERM");
  drives.slice(1).forEach((path, index) => renameSync(path, away[index] as string));
  await (await place.serve(drives.slice(0, 1), ["--degraded"])).stop("SIGTERM");
});

test("an empty directory where a drive was mounted: what to do needs no server that runs", async () => {
  const drives = place.directories("there1", "there2", "there3");
  await (await place.serve(drives)).stop("SIGTERM");
  const [, second = ""] = drives;
  renameSync(second, `${second}.away`);
  mkdirSync(second);
  expectRefusal(start(drives), 1, /^cfs: NOT_FOUND: .*there2 has no identity.json: the drive is not mounted there.*\n {2}.*--degraded/);
  expect(readdirSync(second)).toEqual([]);
});

test("no drive, and one drive twice", () => {
  expectRefusal(start([]), 2, /^cfs: USAGE: no drive is named/);
  unchanged(old, () => expectRefusal(start([...old, old[0] as string]), 2, /^cfs: USAGE: .*old1 is named twice/));
});

test("an unknown key in the configuration file is told with its line", () => {
  const file = place.path("cfs.yaml");
  writeFileSync(file, `data: [${old.join(", ")}]\ndrivse: 6\n`);
  unchanged(old, () => expectRefusal(start([], "--config", file), 2, /^cfs: USAGE: .*cfs\.yaml:2: unknown key "drivse"/));
});

test("an address in use", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestFinished(() => void server.close());
  const bound = server.address();
  const address = `127.0.0.1:${typeof bound === "object" && bound !== null ? bound.port : 0}`;
  const drives = empty();
  unchanged([...drives, ...old], () => {
    expectRefusal(start(drives, "--listen", address), 1, /^cfs: ADDRESS_IN_USE: .*listens on 127\.0\.0\.1/);
    expectRefusal(start(old, "--listen", address), 1, /^cfs: ADDRESS_IN_USE: /);
    expectRefusal(start(old, "--http", address), 1, /^cfs: ADDRESS_IN_USE: /);
  });
});

test("an address of another machine", () => {
  unchanged(old, () =>
    expectRefusal(start(old, "--listen", "192.0.2.1:9400"), 1, /^cfs: INVALID: 192\.0\.2\.1 is no address of this machine/),
  );
});

test("a drive of another cluster", () => {
  unchanged([...old, ...foreign], () => {
    expectRefusal(start([...old, ...foreign]), 1, /^cfs: INVALID: .*foreign belongs to cluster/);
    expectRefusal(start([...foreign, ...old]), 1, /^cfs: INVALID: .*old1 belongs to cluster/);
    expectRefusal(start([...old, ...foreign], "--degraded"), 1, /^cfs: INVALID: .*foreign belongs to cluster/);
  });
});

test("a directory that is missing, is a file, or holds something else", () => {
  const file = place.path("file");
  writeFileSync(file, "");
  const [full] = place.directories("full");
  writeFileSync(`${full ?? ""}/thesis.tex`, "years of work");
  const drives = empty();
  unchanged([...old, ...drives, full ?? ""], () => {
    expectRefusal(start([...old, place.path("gone")]), 1, /^cfs: NOT_FOUND: .*gone does not exist\n.*--degraded/);
    expectRefusal(start([...old, file]), 1, /^cfs: NOT_DIRECTORY: .*file is not a directory/);
    expectRefusal(start([...drives, full ?? ""]), 1, /^cfs: NOT_EMPTY: .*full is not empty: it holds thesis\.tex/);
    expectRefusal(start([...drives, place.path("gone")]), 1, /^cfs: NOT_FOUND: .*gone does not exist\n {2}make it \(mkdir -p .*gone\)/);
    expectRefusal(start([...old, ...drives]), 1, /^cfs: NOT_FOUND: .*has no identity\.json/);
  });
});

test("a drive of a format from the future", () => {
  const [, second] = old;
  const path = `${second ?? ""}/identity.json`;
  const text = readFileSync(path, "utf8");
  onTestFinished(() => writeFileSync(path, text));
  writeFileSync(path, text.replace('"format": 1', '"format": 99'));
  unchanged(old, () => {
    const ran = start(old);
    expectRefusal(ran, 1, /^cfs: NOT_SUPPORTED: .*format 99, this cfs knows up to 1/);
    // It would be refused with that, too.
    expect(ran.err).not.toContain("--degraded");
    expectRefusal(start(old, "--degraded"), 1, /^cfs: NOT_SUPPORTED: .*format 99/);
  });
});

test("drives that another server uses", async () => {
  const server = await place.serve(old);
  expectRefusal(start(old), 1, /^cfs: BUSY: .*old1 is in use by another cfs process/);
  expect(await server.stop("SIGTERM")).toBe(0);
});
