/** Every transport of @cfs/rpc against the suite. */
import { Http2Transport, MemoryTransport } from "@cfs/rpc";
import type { Clock } from "@cfs/core";
import { createServer } from "node:net";
import { transportSuite } from "./transport-suite.ts";

const clock: Clock = {
  wallTime: () => ({ sec: Math.floor(Date.now() / 1000), nsec: 0 }),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs).unref();
    return () => clearTimeout(timer);
  },
};

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

for (const isLocalPreferred of [true, false]) {
  transportSuite(isLocalPreferred ? "local stream" : "http2", {
    factory: async (pool) => ({
      transport: new Http2Transport({ clock, pool }, { closeTimeoutMs: 500, isLocalPreferred }),
      address: { host: "127.0.0.1", port: 0 },
      deadAddress: { host: "127.0.0.1", port: await freePort() },
    }),
  });
}

transportSuite("memory", {
  factory: async (pool) => ({
    transport: new MemoryTransport({ pool }),
    address: { host: "node-1", port: 9400 },
    deadAddress: { host: "node-2", port: 9400 },
  }),
});
