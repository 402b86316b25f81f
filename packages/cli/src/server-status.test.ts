import type { Drive } from "@cfs/rpc";
import { expect, test } from "vitest";
import { printDrives } from "./server-status.ts";
import { memoryUi } from "./testing.ts";

const drive: Drive = {
  driveId: "3f2a91bc".repeat(4),
  path: "/srv/d1",
  state: "DRIVE_ONLINE",
  capacityBytes: 100 * 2 ** 30,
  usedBytes: 25 * 2 ** 30,
  reservedBytes: 2 ** 30,
  readErrors: 1,
  writeErrors: 2,
  checksumErrors: 3,
  reason: "",
};

test("a drive that cannot be measured is not shown as empty, and names cannot move the cursor", () => {
  const memory = memoryUi({});
  const missing = {
    ...drive,
    state: "DRIVE_MISSING",
    path: "/srv/d\n2",
    capacityBytes: 0,
    usedBytes: 0,
    reason: "it was not there",
  } as const;
  printDrives([drive, missing], memory.ui);
  expect(memory.outText().split("\n")).toEqual([
    "drive     state     fs used  fs size  errors  path",
    "3f2a91bc  ok       25.0 GiB  100 GiB       6  /srv/d1",
    "3f2a91bc  missing         ?        ?       6  /srv/d\\n2  it was not there",
    "",
  ]);
});
