/** A session against a kernel in memory, past INIT, and the requests that most tests send. */
import { silentLogger, systemClock } from "@cfs/core";
import type { SessionOptions } from "../options.ts";
import { opcode } from "../protocol.ts";
import { FuseSession } from "../session.ts";
import { body, decodeEntry, initBody, MemoryKernel, type KernelReply } from "./kernel.ts";
import { TreeVfs } from "./tree-vfs.ts";

let unique = 100;
const sessions: FuseSession[] = [];
/** Errors that the sessions of this test logged. */
export const logged: string[] = [];

/** A session after INIT, with both of its ends. */
export interface Started {
  readonly kernel: MemoryKernel;
  readonly vfs: TreeVfs;
  readonly session: FuseSession;
  readonly call: (code: number, nodeid?: number | bigint, bytes?: Uint8Array) => KernelReply;
}

/** Starts a session; `endAll` ends it. */
export function begin(options: SessionOptions = {}, vfs: TreeVfs = new TreeVfs(), kernel: MemoryKernel = new MemoryKernel()): Started {
  const logger = { ...silentLogger, error: (message: string) => void logged.push(message) };
  const session = new FuseSession({ vfs, device: kernel, clock: systemClock(), logger }, options);
  sessions.push(session);
  session.start();
  const call = (code: number, nodeid: number | bigint = 1, bytes: Uint8Array = new Uint8Array()): KernelReply => {
    const number = (unique += 2);
    kernel.send({ opcode: code, unique: number, nodeid, body: bytes, uid: 7, gid: 8, pid: 9 });
    return kernel.reply(number);
  };
  if (call(opcode.init, 0, initBody).error !== 0) throw new Error("INIT failed");
  return { kernel, vfs, session, call };
}

export function create(bench: Started, name: string, flags: number = 2): { nodeid: bigint; handle: bigint; open: number } {
  const reply = bench.call(opcode.create, 1, body([4, flags], [4, 0o100644], [4, 0o022], [4, 0], name));
  if (reply.error !== 0) throw new Error(`CREATE of ${name}: ${reply.error}`);
  return { nodeid: decodeEntry(reply.body).nodeid, handle: reply.body.readBigUInt64LE(128), open: reply.body.readUInt32LE(136) };
}

export function readBody(handle: bigint, offset: number | bigint, size: number): Buffer {
  return body([8, handle], [8, offset], [4, size], [4, 0], [8, 0], [4, 0], [4, 0]);
}

export function writeBody(handle: bigint, offset: number | bigint, data: Uint8Array, flags: number = 0): Buffer {
  return body([8, handle], [8, offset], [4, data.length], [4, flags], [8, 0], [4, 0], [4, 0], data);
}

/** All promises that can settle have settled. */
export async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** Also for sessions that a test made by itself. */
export function endLater(session: FuseSession): void {
  sessions.push(session);
}

export function endAll(): void {
  for (const session of sessions.splice(0)) session.close();
  logged.length = 0;
}
