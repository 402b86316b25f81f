/**
 * The admin service of a node: what `cfs admin`, `cfs fsck` and stock gRPC clients call. Each handler hands on to the part that does the work.
 *
 * Control calls answer from memory and never wait for the data path. At most one scrub and one fsck run at a time.
 */
import { CfsError } from "@cfs/core";
import type { Clock, Logger } from "@cfs/core";
import { pidSpace } from "@cfs/rpc";
import type { AdminService, FsckProgress, Handlers, ScrubProgress } from "@cfs/rpc";
import type { MirroredKv } from "@cfs/storage";
import type { Engine } from "../engine/engine.ts";
import { memberNamed } from "../maintenance/drive-record.ts";
import type { DriveSet } from "../maintenance/drive-set.ts";
import { fsck } from "../maintenance/fsck.ts";
import { scrub } from "../maintenance/scrub.ts";
import type { NodeStatus } from "./node-status.ts";

export interface AdminParts {
  readonly engine: Engine;
  readonly store: Pick<MirroredKv, "snapshot">;
  readonly driveSet: DriveSet;
  readonly status: NodeStatus;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Stops the node; called after the answer was given. */
  readonly onShutdown: () => void;
}

/** Time for the answer to reach its caller before the server goes. */
const shutdownDelayMs = 50;

export function adminHandlers(parts: AdminParts): Handlers<AdminService> {
  const { driveSet, status, clock, logger } = parts;
  const scrubs = new Exclusive("a scrub");
  const checks = new Exclusive("a check of the file system");
  return {
    status: () => status.report(),
    driveList: async () => ({ drives: driveSet.list() }),
    driveAdd: async ({ path }) => ({ drive: await driveSet.add(path) }),
    driveRemove: async ({ driveId, force }) => ({ drive: await driveSet.remove(driveId, force) }),
    driveReplace: async ({ oldDriveId, newPath }) => ({ drive: await driveSet.replace(oldDriveId, newPath) }),
    scrub: (request, { signal }): AsyncIterable<ScrubProgress> => {
      const drive = request.driveId === "" ? null : memberNamed(driveSet.members, request.driveId).index;
      return scrubs.run(() => scrub(parts, request, drive, signal));
    },
    fsck: (request, { signal }): AsyncIterable<FsckProgress> => checks.run(() => fsck(parts, request, signal)),
    shutdown: async ({ graceMs }, { peer }) => {
      logger.info("the server is told to stop", { peer, graceMs });
      clock.after(Math.max(graceMs, shutdownDelayMs), parts.onShutdown);
      return { pid: process.pid, pidSpace: pidSpace() };
    },
  };
}

/** One at a time: a second one would only slow the first. */
class Exclusive {
  readonly #what: string;
  #isRunning = false;

  constructor(what: string) {
    this.#what = what;
  }

  async *run<T>(make: () => AsyncGenerator<T, void, void>): AsyncGenerator<T, void, void> {
    if (this.#isRunning)
      throw new CfsError("BUSY", `${this.#what} is running already; wait for it, or stop it with Ctrl-C where it was started`);
    this.#isRunning = true;
    try {
      yield* make();
    } finally {
      this.#isRunning = false;
    }
  }
}
