import { silentLogger } from "@cfs/core";
import { Registry } from "prom-client";
import { expect, onTestFinished, test } from "vitest";
import { LatencyFigures } from "../engine/operation-figures.ts";
import { checkAddress } from "./check-address.ts";
import { HttpServer } from "./http-server.ts";
import { registerLatency } from "./latency-metric.ts";

async function serve(fatal: string | null): Promise<{ server: HttpServer; url: string }> {
  const registry = new Registry();
  const figures = new LatencyFigures();
  for (const milliseconds of [0.01, 3, 3, 70_000]) figures.observeMs(milliseconds);
  registerLatency(registry, { name: "cfs_x_seconds", help: "x" }, figures);
  const metrics = { contentType: registry.contentType, text: () => registry.metrics() };
  const health = { level: "warning" as const, warnings: ["drive 7 is failed"], notes: [], fatal };
  const server = await HttpServer.listen({ metrics, health: () => health, logger: silentLogger }, { host: "127.0.0.1", port: 0 });
  onTestFinished(() => server.close());
  return { server, url: `http://127.0.0.1:${server.address.port}` };
}

test("metrics are Prometheus text; histograms are cumulative", async () => {
  const { url } = await serve(null);
  const response = await fetch(`${url}/metrics`);
  expect(response.headers.get("content-type")).toContain("text/plain");
  const text = await response.text();
  expect(text).toContain("# TYPE cfs_x_seconds histogram");
  expect(text).toContain('cfs_x_seconds_bucket{le="0.00005"} 1');
  expect(text).toContain('cfs_x_seconds_bucket{le="0.0025"} 1');
  expect(text).toContain('cfs_x_seconds_bucket{le="0.005"} 3');
  expect(text).toContain('cfs_x_seconds_bucket{le="10"} 3');
  expect(text).toContain('cfs_x_seconds_bucket{le="+Inf"} 4');
  expect(text).toContain("cfs_x_seconds_count 4");
});

test("health is 200 while the node serves, 503 when it cannot go on", async () => {
  const running = await fetch(`${(await serve(null)).url}/healthz`);
  expect([running.status, await running.json()]).toEqual([200, { status: "warning", warnings: ["drive 7 is failed"] }]);
  expect((await fetch(`${(await serve("the journal broke")).url}/healthz`)).status).toBe(503);
});

test("nothing else is there, and nothing can be changed", async () => {
  const { url } = await serve(null);
  expect((await fetch(`${url}/secret`)).status).toBe(404);
  expect((await fetch(`${url}/metrics`, { method: "POST" })).status).toBe(405);
});

test("an address in use is told before and at listening", async () => {
  const { server } = await serve(null);
  await expect(checkAddress(server.address)).rejects.toThrow(/ADDRESS_IN_USE: another program listens on 127\.0\.0\.1/);
  const again = HttpServer.listen(
    {
      metrics: { contentType: "", text: async () => "" },
      health: () => ({ level: "ok", warnings: [], notes: [], fatal: null }),
      logger: silentLogger,
    },
    server.address,
  );
  await expect(again).rejects.toThrow(/ADDRESS_IN_USE/);
  await server.close();
  await expect(checkAddress(server.address)).resolves.toBeUndefined();
});
