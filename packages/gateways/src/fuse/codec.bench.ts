/**
 * JavaScript's share of a request: decode, dispatch, Vfs call, encode; without a kernel.
 *
 * Use: node --conditions=cfs-source packages/gateways/src/fuse/codec.bench.ts. Prints nanoseconds per request, in batches of 1 and 64.
 */
import { silentLogger, systemClock } from "@cfs/core";
import { opcode } from "./protocol.ts";
import { FuseSession } from "./session.ts";
import { body, encodeRequest, initBody, MemoryKernel } from "./testing/kernel.ts";
import { TreeVfs } from "./testing/tree-vfs.ts";

/** A kernel that takes every reply without looking. */
class Sink extends MemoryKernel {
  override flush(): number {
    return 0;
  }
}

const kernel = new Sink(64, 1 << 16, 256, 1 << 20);
let batch: (count: number) => void = () => undefined;
const start = kernel.start.bind(kernel);
kernel.start = (handlers) => {
  batch = (count) => handlers.onBatch(count);
  start(handlers);
};
const session = new FuseSession({ vfs: new TreeVfs(), device: kernel, clock: systemClock(), logger: silentLogger });
session.start();
kernel.send({ opcode: opcode.init, unique: 1, body: initBody });
kernel.send({ opcode: opcode.create, unique: 3, body: body([4, 2], [4, 0o100644], [4, 0], [4, 0], "file") });
const io = body([8, 1], [8, 0], [4, 4096], [4, 0], [8, 0], [4, 0], [4, 0]);
kernel.send({ opcode: opcode.write, unique: 5, body: Buffer.concat([io, Buffer.alloc(4096)]) });

for (const [name, request] of [
  ["GETATTR", { opcode: opcode.getattr, unique: 7, body: Buffer.alloc(16) }],
  ["LOOKUP", { opcode: opcode.lookup, unique: 7, body: body("file") }],
  ["READ 4 KiB", { opcode: opcode.read, unique: 7, body: io }],
  ["WRITE 4 KiB", { opcode: opcode.write, unique: 7, body: Buffer.concat([io, Buffer.alloc(4096)]) }],
] as const) {
  const message = encodeRequest(request);
  const { requestsOffset, slotBytes, lengthsOffset } = kernel.layout;
  for (let slot = 0; slot < 64; slot++) {
    new Uint8Array(kernel.memory).set(message, requestsOffset + slot * slotBytes);
    new Uint32Array(kernel.memory, lengthsOffset, 64)[slot] = message.length;
  }
  for (const size of [1, 64]) {
    const rounds = 400_000 / size;
    for (let round = 0; round < rounds; round++) batch(size);
    const begin = process.hrtime.bigint();
    for (let round = 0; round < rounds; round++) batch(size);
    const nanoseconds = Number(process.hrtime.bigint() - begin) / (rounds * size);
    console.log(`${name.padEnd(12)} batches of ${String(size).padStart(2)}  ${nanoseconds.toFixed(0).padStart(6)} ns per request`);
  }
}
session.close();
