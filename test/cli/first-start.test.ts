/** kill -9 at many moments of a first start: the same command again makes the cluster, and all is well. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import type { StatusReply } from "@cfs/rpc";
import { afterEach, beforeEach, expect, test } from "vitest";
import { cfsJson, Place, serverArguments } from "./cfs-process.ts";

const names = ["d1", "d2", "d3", "d4", "d5", "d6"];
const kills = 8;
/** Before this part of a start nothing touches the drives: the program is being loaded. */
const earliestShare = 0.4;

let place: Place;
beforeEach(() => (place = new Place()));
afterEach(() => place.dispose());

function fresh(): string[] {
  for (const name of names) rmSync(place.path(name), { recursive: true, force: true });
  return place.directories(...names);
}

test("a first start that is killed is ended by the next", { timeout: 180_000 }, async () => {
  const begin = performance.now();
  await (await place.serve(fresh())).stop("SIGKILL");
  const wholeMs = performance.now() - begin;
  for (let kill = 0; kill < kills; kill++) {
    const drives = fresh();
    const child = spawn(process.execPath, serverArguments(drives), { stdio: "ignore" });
    const ended = once(child, "exit");
    await setTimeout(wholeMs * (earliestShare + ((1 - earliestShare) * kill) / kills));
    child.kill("SIGKILL");
    await ended;
    const server = await place.serve(drives);
    const { warnings, drives: shown } = cfsJson<StatusReply>(["admin", "status"], server.address);
    expect([kill, warnings, shown.map(({ state }) => state)]).toEqual([kill, [], names.map(() => "DRIVE_ONLINE")]);
    await server.stop("SIGKILL");
  }
});
