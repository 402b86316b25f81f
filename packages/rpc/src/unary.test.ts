/** Unary and server-streaming calls between our own two ends: every method, errors, deadlines, cancelling, closing. */
import { CfsError, errnoByCode } from "@cfs/core";
import type { ErrorCode } from "@cfs/core";
import { connect as connectSocket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { adminService } from "./admin-service.ts";
import { RpcServer } from "./rpc-server.ts";
import { machineClock } from "./testing/clock.ts";
import { adminHandlers, drive, status } from "./testing/admin-handlers.ts";
import type { Observed } from "./testing/admin-handlers.ts";
import { callServerStream, callUnary, UnaryClient } from "./unary-client.ts";
import { serveUnary } from "./unary-server.ts";

const parts = { clock: machineClock };
const timeoutMs = 10_000;
let observed: Observed;
let server: RpcServer;
let client: UnaryClient;

beforeEach(async () => {
  observed = { aborts: [], requests: [] };
  const routes = serveUnary(parts, adminService, adminHandlers(observed));
  server = await RpcServer.listen(
    parts,
    { host: "127.0.0.1", port: 0 },
    { onConnection: (connection) => void connection.close(), routes, closeTimeoutMs: 500 },
  );
  client = await UnaryClient.open(parts, server.address, { timeoutMs });
});

afterEach(async () => {
  await client.close();
  await server.close();
});

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => "no error",
    (reason: unknown) => reason,
  );
  return error instanceof CfsError ? error.code : String(error);
}

/** Waits for what another callback is about to do. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("every unary method answers with all its fields", async () => {
  expect(await client.call(adminService.status, {}, { timeoutMs })).toEqual(status);
  expect((await client.call(adminService.driveList, {}, { timeoutMs })).drives[1]).toEqual({
    ...drive,
    state: "DRIVE_FAILED",
    reason: "read error",
  });
  expect(await client.call(adminService.driveAdd, { path: "/mnt/ü" }, { timeoutMs })).toEqual({ drive: { ...drive, path: "/mnt/ü" } });
  expect(await client.call(adminService.driveRemove, { driveId: "a", force: true }, { timeoutMs })).toEqual({ drive: null });
  expect(observed.requests).toEqual([{ driveId: "a", force: true }]);
  expect(await client.call(adminService.shutdown, { graceMs: 5 }, { timeoutMs })).toEqual({ pid: 7, pidSpace: "boot pid:[1]" });
});

test("100 calls at once on one session", async () => {
  const paths = Array.from({ length: 100 }, (_, at) => `/d${at}`);
  const replies = await Promise.all(paths.map((path) => client.call(adminService.driveAdd, { path }, { timeoutMs })));
  expect(replies.map((reply) => reply.drive?.path)).toEqual(paths);
});

test("a stream gives its messages in order and ends", async () => {
  const seen: number[] = [];
  for await (const progress of client.stream(adminService.scrub, { driveId: "", bytesPerSecondMax: 500 }, { timeoutMs })) {
    seen.push(progress.bytesChecked);
  }
  expect(seen).toEqual(Array.from({ length: 500 }, (_, at) => at + 1));
});

test("a stream that fails gives what came first, then the error with its code", async () => {
  const phases: string[] = [];
  const run = async (): Promise<void> => {
    for await (const { phase } of client.stream(adminService.fsck, { repair: false }, { timeoutMs })) phases.push(phase);
  };
  await expect(run()).rejects.toThrow(/^CORRUPT: Fsck at 127\.0\.0\.1:\d+: inode 65537 has no entry$/);
  expect(phases).toEqual(["directory tree"]);
});

test("leaving a stream early cancels it at the server; the session goes on", async () => {
  for await (const { bytesChecked } of client.stream(adminService.scrub, { driveId: "", bytesPerSecondMax: 0 }, { timeoutMs })) {
    if (bytesChecked === 3) break;
  }
  await until(() => observed.aborts.length === 1);
  expect((observed.aborts[0] as CfsError).code).toBe("INTERRUPTED");
  expect(await client.call(adminService.status, {}, { timeoutMs })).toEqual(status);
});

test("errors keep code and text, also with per cent signs and umlauts; bugs become IO", async () => {
  const empty = client.call(adminService.driveAdd, { path: "" }, { timeoutMs });
  await expect(empty).rejects.toThrow(/^INVALID: DriveAdd at .*: a drive needs a path: größer als 0 %$/);
  const bug = client.call(adminService.driveReplace, { oldDriveId: "x", newPath: "y" }, { timeoutMs });
  await expect(bug).rejects.toThrow(/^IO: DriveReplace at .*: a bug near x$/);
});

test("a passed deadline is TIMED_OUT for the caller and an abort for the handler", async () => {
  expect(await codeOf(client.call(adminService.driveRemove, { driveId: "a", force: false }, { timeoutMs: 100 }))).toBe("TIMED_OUT");
  await until(() => observed.aborts.length === 1);
  const slow = async (): Promise<void> => {
    for await (const progress of client.stream(adminService.scrub, { driveId: "", bytesPerSecondMax: 0 }, { timeoutMs: 100 })) {
      expect(progress.isDone).toBe(false);
    }
  };
  expect(await codeOf(slow())).toBe("TIMED_OUT");
  await until(() => observed.aborts.length === 2);
});

test("an abort throws the signal's reason and cancels at the server", async () => {
  const abort = new AbortController();
  const reason = new Error("the user pressed a key");
  const call = client.call(adminService.driveRemove, { driveId: "a", force: false }, { timeoutMs, signal: abort.signal });
  await until(() => observed.requests.length === 1);
  abort.abort(reason);
  await expect(call).rejects.toBe(reason);
  await until(() => observed.aborts.length === 1);
  const streamAbort = new AbortController();
  const stream = client.stream(adminService.scrub, { driveId: "", bytesPerSecondMax: 0 }, { timeoutMs, signal: streamAbort.signal });
  await stream.next();
  streamAbort.abort(reason);
  await expect(
    (async () => {
      for await (const progress of stream) expect(progress.isDone).toBe(false);
    })(),
  ).rejects.toBe(reason);
});

test("the server closes while a call runs: the caller hears UNREACHABLE, nothing is left", async () => {
  const call = client.call(adminService.driveRemove, { driveId: "a", force: false }, { timeoutMs });
  await until(() => observed.requests.length === 1);
  const [text] = await Promise.all([call.then(String, String), server.close()]);
  expect(text).toMatch(/UNREACHABLE: DriveRemove at .* is closing$/);
  expect(await codeOf(client.call(adminService.status, {}, { timeoutMs: 1000 }))).toBe("UNREACHABLE");
});

test("the client closes while a call runs", async () => {
  const call = client.call(adminService.driveRemove, { driveId: "a", force: false }, { timeoutMs });
  await until(() => observed.requests.length === 1);
  const [code] = await Promise.all([codeOf(call), client.close()]);
  expect(code).toBe("UNREACHABLE");
  await until(() => observed.aborts.length === 1);
});

test("one call on its own session, and a stream", async () => {
  expect(await callUnary(parts, server.address, adminService.status, {}, { timeoutMs })).toEqual(status);
  const phases: string[] = [];
  const options = { timeoutMs: Number.POSITIVE_INFINITY, connectTimeoutMs: 1000 };
  for await (const { phase } of callServerStream(parts, server.address, adminService.fsck, { repair: true }, options)) phases.push(phase);
  expect(phases).toEqual(["directory tree", "link counts"]);
});

test("nothing listens: UNREACHABLE with the address", async () => {
  const { address } = server;
  await server.close();
  const text = await callUnary(parts, address, adminService.status, {}, { timeoutMs: 2000 }).then(String, String);
  expect(text).toContain(`UNREACHABLE: cannot connect to 127.0.0.1:${address.port}`);
});

test("a client that goes away without a word leaves nothing behind", async () => {
  const socket = connectSocket(server.address);
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.destroy();
  expect(await client.call(adminService.status, {}, { timeoutMs })).toEqual(status);
});

test("every code survives the way through trailers", async () => {
  const { errorOfTrailers, trailersOf } = await import("./grpc-status.ts");
  for (const code of Object.keys(errnoByCode) as ErrorCode[]) {
    const back = errorOfTrailers(trailersOf(new CfsError(code, "a 100 % test\nof »text« \u{1f600}")), "X");
    expect(back?.code).toBe(code);
    expect(back?.message).toBe(`${code}: X: a 100 % test\nof »text« \u{1f600}`);
  }
  expect(errorOfTrailers(trailersOf(null), "X")).toBeNull();
  expect(errorOfTrailers({}, "X")?.code).toBe("IO");
  expect(errorOfTrailers({ "grpc-status": "14", "grpc-message": "%zz" }, "X")?.message).toBe("UNREACHABLE: X: %zz (grpc-status 14)");
});
