/** Handlers of the admin service with fixed answers, for the tests of calls. */
import { CfsError } from "@cfs/core";
import type { AdminService, Drive, FsckProgress, ScrubProgress, StatusReply } from "../admin-service.ts";
import type { Handlers } from "../service.ts";

export const drive: Drive = {
  driveId: "00112233445566778899aabbccddeeff",
  path: "/data/größe",
  state: "DRIVE_ONLINE",
  capacityBytes: 2 ** 52,
  usedBytes: 12_345_678_901,
  reservedBytes: 1_073_741_824,
  readErrors: 0,
  writeErrors: 1,
  checksumErrors: 2,
  reason: "",
};

export const status: StatusReply = {
  clusterId: "c".repeat(32),
  nodeId: "d".repeat(32),
  version: "0.1.0",
  uptimeMs: 86_400_000,
  capacityBytes: 2 ** 52,
  usedBytes: 12_345_678_901,
  availableBytes: 1,
  atRiskBytes: 0,
  connections: 3,
  drives: [drive],
  warnings: ["data is not redundant: one drive"],
  details: { journal: { entries: 5, isFull: false, note: null, sizes: [1, "two", { three: 3 }] } },
};

/** Never answers by itself; tells what it saw of its signal. */
export interface Observed {
  aborts: unknown[];
  requests: unknown[];
}

export function adminHandlers(observed: Observed): Handlers<AdminService> {
  return {
    async status() {
      return status;
    },
    async driveList() {
      return { drives: [drive, { ...drive, state: "DRIVE_FAILED", reason: "read error" }] };
    },
    async driveAdd({ path }) {
      if (path === "") throw new CfsError("INVALID", "a drive needs a path: größer als 0 %");
      return { drive: { ...drive, path } };
    },
    async driveRemove(request, { signal }) {
      observed.requests.push(request);
      if (!request.force) {
        await new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            observed.aborts.push(signal.reason);
            reject(signal.reason);
          });
        });
      }
      return { drive: null };
    },
    async driveReplace({ oldDriveId }) {
      throw new TypeError(`a bug near ${oldDriveId}`);
    },
    async *scrub({ bytesPerSecondMax }, { signal }) {
      for (let at = 1; ; at++) {
        if (signal.aborted) {
          observed.aborts.push(signal.reason);
          return;
        }
        const isDone = at === bytesPerSecondMax;
        yield scrubProgress(at, isDone);
        if (isDone) return;
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    async *fsck({ repair }) {
      yield fsckProgress("directory tree");
      if (!repair) throw new CfsError("CORRUPT", "inode 65537 has no entry");
      yield { ...fsckProgress("link counts"), isDone: true };
    },
    async shutdown() {
      return { pid: 7, pidSpace: "boot pid:[1]" };
    },
  };
}

function scrubProgress(at: number, isDone: boolean): ScrubProgress {
  const findings = at === 1 ? ["fragment 3 of segment 7: bad checksum"] : [];
  return { bytesChecked: at, bytesTotal: 100, fragmentsChecked: at, fragmentsBad: 0, fragmentsRepaired: 0, findings, isDone };
}

function fsckProgress(phase: string): FsckProgress {
  return { phase, itemsChecked: 1, itemsTotal: 2, problemsFound: 0, problemsRepaired: 0, findings: [], isDone: false };
}
