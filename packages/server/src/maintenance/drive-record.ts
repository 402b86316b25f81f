/** One drive as the node knows it while it runs: its place in the table, its health, and what went wrong with it. */
import { CfsError } from "@cfs/core";
import type { DriveState as ShownState } from "@cfs/rpc";
import type { Drive } from "@cfs/storage";

export type MemberState = "ok" | "draining" | "failed" | "missing";

export interface Member {
  /** In the superblock's table. */
  readonly index: number;
  readonly driveId: string;
  /** Where it is or was last seen; empty when nobody knows. */
  path: string;
  state: MemberState;
  /** Why it is in this state; empty when it is ok. */
  reason: string;
  /** Null when it is not in service. */
  drive: Drive | null;
  readErrors: number;
  writeErrors: number;
  checksumErrors: number;
}

export const shownState: Readonly<Record<MemberState, ShownState>> = {
  ok: "DRIVE_ONLINE",
  draining: "DRIVE_DRAINING",
  failed: "DRIVE_FAILED",
  missing: "DRIVE_MISSING",
};

export function newMember(index: number, drive: Drive): Member {
  return {
    index,
    driveId: drive.driveId,
    path: drive.path,
    state: "ok",
    reason: "",
    drive,
    readErrors: 0,
    writeErrors: 0,
    checksumErrors: 0,
  };
}

export function missingMember(index: number, driveId: string, path: string, reason: string): Member {
  return { index, driveId, path, state: "missing", reason, drive: null, readErrors: 0, writeErrors: 0, checksumErrors: 0 };
}

/** "drive 3f2a91bc (/srv/d3)": the words by which people know the drive with this number in the table. */
export function nameOfMember(members: readonly Pick<Member, "index" | "driveId" | "path">[], index: number): string {
  const member = members.find((one) => one.index === index);
  if (member === undefined) return "a drive that was removed";
  return `drive ${member.driveId.slice(0, 8)}${member.path === "" ? "" : ` (${member.path})`}`;
}

const prefixDigitsMin = 4;

/** The drive that a person means: an id, the first digits of one, or a directory. */
export function memberNamed(members: readonly Member[], word: string): Member {
  const byPath = members.filter(({ path }) => path === word);
  // After a replacement in place, two drives were last seen at one path: the one that is gone is meant.
  const [only] = byPath.length > 1 ? byPath.filter(({ state }) => state !== "ok") : byPath;
  if (only !== undefined) return only;
  const isPrefix = /^[0-9a-f]+$/.test(word) && word.length >= prefixDigitsMin;
  const byId = isPrefix ? members.filter(({ driveId }) => driveId.startsWith(word)) : [];
  if (byId.length === 1) return byId[0] as Member;
  if (byId.length > 1) throw new CfsError("INVALID", `"${word}" is the beginning of ${byId.length} drive ids; give more digits`);
  throw new CfsError(
    "NOT_FOUND",
    `there is no drive "${word}"; name it by the first ${prefixDigitsMin} or more digits of its id, or by its directory, as listed by: cfs admin drive list`,
  );
}
