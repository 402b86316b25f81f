/** Stock @grpc/grpc-js against our server: every method, errors, deadlines, cancelling, and the hot stream. It knows only the .proto files. */
import { CfsError } from "@cfs/core";
import { credentials, makeGenericClientConstructor, Metadata, status as grpcCode } from "@grpc/grpc-js";
import type { ClientDuplexStream, ClientReadableStream, ServiceDefinition, ServiceError } from "@grpc/grpc-js";
import protobuf from "protobufjs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { adminService } from "./admin-service.ts";
import { RpcServer } from "./rpc-server.ts";
import { protoFiles } from "./schema.ts";
import { adminHandlers, drive, status } from "./testing/admin-handlers.ts";
import type { Observed } from "./testing/admin-handlers.ts";
import { machineClock } from "./testing/clock.ts";
import type { Connection } from "./transport.ts";
import { serveUnary } from "./unary-server.ts";

type Reply = Readonly<Record<string, unknown>>;
type Callback = (error: ServiceError | null, reply?: Reply) => void;

/** What grpc-js makes of a service at run time. */
interface StockClient {
  close(): void;
  readonly [method: string]: (...args: unknown[]) => unknown;
}

const root = new protobuf.Root().loadSync([...protoFiles]);

/** A service definition from the .proto file alone. */
function definitionOf(name: string): ServiceDefinition {
  const service = root.lookupService(name);
  service.resolveAll();
  return Object.fromEntries(
    service.methodsArray.map((method) => {
      const { resolvedRequestType: request, resolvedResponseType: response } = method;
      if (request === null || response === null) throw new Error(`${method.name} has no types`);
      const codec = (type: protobuf.Type): { serialize: (value: object) => Buffer; deserialize: (bytes: Buffer) => object } => ({
        serialize: (value) => Buffer.from(type.encode(type.fromObject(value)).finish()),
        deserialize: (bytes) => type.toObject(type.decode(bytes), { longs: Number, enums: String, defaults: true }),
      });
      return [
        method.name,
        {
          path: `/${name}/${method.name}`,
          requestStream: method.requestStream ?? false,
          responseStream: method.responseStream ?? false,
          requestSerialize: codec(request).serialize,
          requestDeserialize: codec(request).deserialize,
          responseSerialize: codec(response).serialize,
          responseDeserialize: codec(response).deserialize,
        },
      ];
    }),
  );
}

let observed: Observed;
let server: RpcServer;
let admin: StockClient;
let session: StockClient;
let accepted: PromiseWithResolvers<Connection>;

function stockClient(name: string): StockClient {
  const Client = makeGenericClientConstructor(definitionOf(name), name);
  return new Client(`127.0.0.1:${server.address.port}`, credentials.createInsecure()) as unknown as StockClient;
}

function call(method: string, request: object, deadlineMs = 10_000): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const callback: Callback = (error, reply) => (error === null ? resolve(reply as Reply) : reject(error));
    admin[method]?.(request, new Metadata(), { deadline: Date.now() + deadlineMs }, callback);
  });
}

beforeEach(async () => {
  observed = { aborts: [], requests: [] };
  accepted = Promise.withResolvers();
  const parts = { clock: machineClock };
  server = await RpcServer.listen(
    parts,
    { host: "127.0.0.1", port: 0 },
    {
      routes: serveUnary(parts, adminService, adminHandlers(observed)),
      onConnection(connection) {
        connection.onFrames = (frames) => {
          for (const { head, payload } of frames) connection.send({ head: Buffer.from(head), payload: [payload] });
        };
        connection.onClosed = () => {};
        accepted.resolve(connection);
      },
      closeTimeoutMs: 500,
    },
  );
  admin = stockClient("cfs.v1.Admin");
  session = stockClient("cfs.v1.Session");
});

afterEach(async () => {
  admin.close();
  session.close();
  await server.close();
});

async function all(stream: ClientReadableStream<Reply>): Promise<Reply[]> {
  const replies: Reply[] = [];
  for await (const reply of stream) replies.push(reply as Reply);
  return replies;
}

test("the table of methods is that of the .proto file", () => {
  const table = Object.values(adminService).map(({ path, kind }: { path: string; kind: string }) => `${path} ${kind}`);
  const file = root
    .lookupService("cfs.v1.Admin")
    .methodsArray.map(({ name, responseStream }) => `/cfs.v1.Admin/${name} ${responseStream === true ? "serverStream" : "unary"}`);
  expect(table).toEqual(file);
});

test("every unary method", async () => {
  const { details, ...plainStatus } = status;
  expect(await call("Status", {})).toMatchObject({ ...plainStatus });
  expect((await call("Status", {}))["details"]).toMatchObject({
    fields: { journal: { structValue: { fields: { entries: { numberValue: 5 } } } } },
  });
  expect(Object.keys(details)).toEqual(["journal"]);
  expect(await call("DriveList", {})).toMatchObject({ drives: [drive, { state: "DRIVE_FAILED" }] });
  expect(await call("DriveAdd", { path: "/x" })).toEqual({ drive: { ...drive, path: "/x" } });
  expect(await call("DriveRemove", { driveId: "a", force: true })).toEqual({ drive: null });
  expect(await call("Shutdown", { graceMs: 1 })).toEqual({ pid: 7, pidSpace: "boot pid:[1]" });
  await expect(call("DriveReplace", { oldDriveId: "old" })).rejects.toMatchObject({ code: grpcCode.INTERNAL, details: "a bug near old" });
});

test("both server streams", async () => {
  const scrub = await all(admin["Scrub"]?.({ bytesPerSecondMax: 20 }) as ClientReadableStream<Reply>);
  expect(scrub.map((reply) => reply["bytesChecked"])).toEqual(Array.from({ length: 20 }, (_, at) => at + 1));
  const fsck = await all(admin["Fsck"]?.({ repair: true }) as ClientReadableStream<Reply>);
  expect(fsck.map((reply) => reply["phase"])).toEqual(["directory tree", "link counts"]);
  await expect(all(admin["Fsck"]?.({ repair: false }) as ClientReadableStream<Reply>)).rejects.toMatchObject({ code: grpcCode.DATA_LOSS });
});

test("errors carry status, text and our code", async () => {
  const error: unknown = await call("DriveAdd", { path: "" }).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ code: grpcCode.INVALID_ARGUMENT, details: "a drive needs a path: größer als 0 %" });
  expect((error as ServiceError).metadata.get("cfs-error-code")).toEqual(["INVALID"]);
});

test("deadlines and cancelling reach the handler", async () => {
  await expect(call("DriveRemove", { driveId: "a" }, 200)).rejects.toMatchObject({ code: grpcCode.DEADLINE_EXCEEDED });
  const stream = admin["Scrub"]?.({}) as ClientReadableStream<Reply>;
  const ended = new Promise((resolve) => stream.on("error", resolve));
  stream.once("data", () => stream.cancel());
  expect(await ended).toMatchObject({ code: grpcCode.CANCELLED });
  while (observed.aborts.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(observed.aborts.every((reason) => reason instanceof CfsError)).toBe(true);
});

/** One frame as session.proto describes it. */
function packed(head: string, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(head.length, 0);
  header.writeUInt32LE(payload.length, 4);
  return Buffer.concat([header, Buffer.from(head), payload]);
}

test("the hot stream: batches there and back, and a clean end", async () => {
  const stream = session["Stream"]?.() as ClientDuplexStream<Reply, Reply>;
  const body = Buffer.concat([
    packed("first", Buffer.alloc(100_000, 1)),
    packed("second", Buffer.alloc(0)),
    packed("", Buffer.from("third")),
  ]);
  const received: Buffer[] = [];
  stream.on("data", (batch: Reply) => received.push(batch["body"] as Buffer));
  const ended = new Promise((resolve) => stream.on("status", resolve));
  stream.write({ body });
  stream.write({});
  stream.write({ body });
  while (Buffer.concat(received).length < 2 * body.length) await new Promise((resolve) => setTimeout(resolve, 5));
  stream.end();
  expect(await ended).toMatchObject({ code: grpcCode.OK });
  expect(Buffer.concat(received).equals(Buffer.concat([body, body]))).toBe(true);
});

test("the hot stream: a malformed batch ends with DATA_LOSS and why", async () => {
  const stream = session["Stream"]?.() as ClientDuplexStream<Reply, Reply>;
  stream.on("data", () => {});
  stream.write({ body: Buffer.from("not a frame at all") });
  const error: unknown = await new Promise((resolve) => stream.on("error", resolve));
  expect(error).toMatchObject({ code: grpcCode.DATA_LOSS });
  expect((error as ServiceError).details).toContain("malformed data");
});

test("the hot stream: the server closes", async () => {
  const stream = session["Stream"]?.() as ClientDuplexStream<Reply, Reply>;
  stream.on("data", () => {});
  const ended = new Promise((resolve) => stream.on("status", resolve));
  await (await accepted.promise).close();
  expect(await ended).toMatchObject({ code: grpcCode.OK });
});
