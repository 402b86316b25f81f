import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CfsError, type ErrorCode, errnoByCode } from "@cfs/core";
import { expect, onTestFinished, test } from "vitest";
import { describeFailure } from "../exit.ts";
import { UsageError } from "../parse.ts";
import { serverOptions, startError } from "./server.ts";

function configFile(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "cfs-config-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "cfs.yaml");
  writeFileSync(path, text);
  return path;
}

test("without flags but drives, loopback is listened on and nothing is served over HTTP", () => {
  expect(serverOptions({ data: ["/a"] })).toMatchObject({
    data: ["/a"],
    listen: { host: "127.0.0.1", port: 9400 },
    http: null,
    logLevel: "info",
  });
});

test("flags go before the file", () => {
  const config = configFile("data: [/a, /b]\nlisten: 0.0.0.0:9000\nhttp: 127.0.0.1:9001\nlog: debug\n");
  expect(serverOptions({ config })).toMatchObject({
    data: ["/a", "/b"],
    listen: { host: "0.0.0.0", port: 9000 },
    http: { port: 9001 },
    logLevel: "debug",
  });
  expect(serverOptions({ config, data: ["/c"], log: "warn" })).toMatchObject({ data: ["/c"], listen: { port: 9000 }, logLevel: "warn" });
});

test.each([
  ["", "no drive is named"],
  ["data: [/a, /a]", "/a is named twice"],
  ["data: /a\nlog: loud", '"loud" is not a log level'],
  ["data: /a\ndrives: 6", 'unknown key "drives"'],
  ["data: /a\nlisten: nowhere at all", "is not an address"],
])("a file that says %j is refused", (text, message) => {
  const config = configFile(text);
  expect(() => serverOptions({ config })).toThrow(UsageError);
  expect(() => serverOptions({ config })).toThrow(message);
});

test("no next step of a failed start needs a server that runs", () => {
  const nextOf = (code: ErrorCode, degraded = false) => describeFailure(startError(new CfsError(code, "x"), { degraded }))?.next ?? "";
  for (const code of Object.keys(errnoByCode) as ErrorCode[]) expect(nextOf(code), code).not.toMatch(/cfs admin (?:scrub|status|drive)/);
  expect(nextOf("CORRUPT")).toContain("--degraded");
  expect(nextOf("CORRUPT", true)).not.toContain("--degraded");
});
