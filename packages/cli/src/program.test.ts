import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { runCli } from "./program.ts";
import { memoryUi } from "./testing.ts";

async function cfs(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const memory = memoryUi({});
  const code = await runCli(args, memory.parts);
  return { code, out: memory.outText(), err: memory.errText() };
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "cfs-cli-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

test("without a command the help is shown", async () => {
  const { code, out, err } = await cfs();
  expect([code, err]).toEqual([0, ""]);
  expect(out).toContain("Usage: cfs COMMAND");
});

test("every command has help with examples, and --json", async () => {
  const { out } = await cfs("--help");
  const names = [...out.matchAll(/^ {2}([a-z]+) \[options\]/gm)].map((match) => match[1] ?? "");
  expect(names.length).toBeGreaterThan(1);
  for (const name of names) {
    const help = await cfs(name, "--help");
    expect(help.code, name).toBe(0);
    expect(help.out, name).toMatch(/Examples:\n {2}cfs /);
    expect(help.out, name).toContain("--json");
  }
});

test("wrong words are one line, exit code 2 and nothing on stdout", async () => {
  expect(await cfs("vresion")).toEqual({
    code: 2,
    out: "",
    err: "cfs: USAGE: unknown command 'vresion' (Did you mean version?)\n  see: cfs --help\n",
  });
  expect(await cfs("bench", ".", "--threads", "0")).toMatchObject({
    code: 2,
    out: "",
    err: expect.stringContaining('"0" is not a whole number from 1 to 64') as string,
  });
  expect(await cfs("bench")).toMatchObject({ code: 2, err: expect.stringContaining("missing required argument 'path'") as string });
  expect(await cfs("admin", "drive", "lsit")).toMatchObject({
    code: 2,
    err: expect.stringContaining("\n  see: cfs admin drive --help\n") as string,
  });
  expect(await cfs("version", "--nope")).toMatchObject({ code: 2, err: expect.stringContaining("unknown option '--nope'") as string });
});

test("with --json a failure is one JSON value on stdout", async () => {
  const { code, out, err } = await cfs("bench", "/nonexistent", "--json");
  expect([code, err]).toEqual([1, ""]);
  expect(JSON.parse(out)).toEqual({
    error: { code: "NOT_FOUND", message: expect.stringMatching(/^\/nonexistent: no such file/) as string, next: "check the name" },
  });
  expect(JSON.parse((await cfs("nope", "--json")).out)).toMatchObject({ error: { code: "USAGE" } });
});

test("version is a line, and fields with --json", async () => {
  expect((await cfs("version")).out).toMatch(/^cfs \d+\.\d+\.\d+ \(Node \d+/);
  expect(JSON.parse((await cfs("version", "--json")).out)).toMatchObject({ node: process.versions.node });
});

test("bench measures every step and leaves nothing behind", async () => {
  const folder = temporaryFolder();
  const { code, out } = await cfs("bench", folder, "--size", "2M", "--files", "3", "--threads", "2", "--seconds", "1", "--json");
  expect(code).toBe(0);
  const { figures } = JSON.parse(out) as { figures: { name: string; threads: number; value: number; operations: number }[] };
  expect(figures.map((figure) => `${figure.name} ${figure.threads}`)).toEqual([
    "sequential write + fsync 1",
    "sequential read 1",
    ...[1, 2].map((threads) => `4 KiB random read ${threads}`),
    ...[1, 2].map((threads) => `4 KiB random write + fsync ${threads}`),
    ...[1, 2].flatMap((threads) => ["create 4 KiB file", "stat", "unlink"].map((name) => `${name} ${threads}`)),
  ]);
  for (const figure of figures) expect(figure.value, figure.name).toBeGreaterThan(0);
  expect(figures.at(-1)?.operations).toBe(6);
  expect(readdirSync(folder)).toEqual([]);
});

test("bench that is interrupted ends with 130 and leaves nothing behind", async () => {
  const folder = temporaryFolder();
  const memory = memoryUi({});
  const running = runCli(["bench", folder, "--size", "1M", "--seconds", "600"], memory.parts);
  while (readdirSync(folder).length === 0) await new Promise((resolve) => setImmediate(resolve));
  memory.abort();
  expect(await running).toBe(130);
  expect(readdirSync(folder)).toEqual([]);
});
