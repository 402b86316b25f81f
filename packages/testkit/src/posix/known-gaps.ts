/**
 * Cases that a file system is known to fail, each with its reason: the only way for a POSIX case not to pass.
 *
 * The list for cfs is a ratchet: a case on it that passes fails the run until the line is gone. For the reference file systems it only
 * speaks of ext4 as Linux distributions make it; another one may do more.
 */
import type { FileSystemKind } from "./test-directory.ts";
import type { CaseResult } from "./case-runner.ts";

/** Reasons by case name. */
export type KnownGaps = Readonly<Record<string, string>>;

const ext4Value = "ext4 keeps all attributes of a file in its inode and one block of 4 KiB";

export const knownGaps: Readonly<Record<FileSystemKind, KnownGaps>> = {
  reference: {
    "xattr/value-of-4096-bytes": ext4Value,
    "xattr/value-of-16384-bytes": ext4Value,
    "xattr/value-of-65536-bytes": ext4Value,
  },
  cfs: {
    "times/after-truncate-to-the-same-size":
      "with a write-back cache the kernel owns mtime, and moves it for truncate(2) only when the size changes (fs/fuse/dir.c, fuse_do_setattr)",
  },
};

export type Verdict = { readonly type: "pass" } | { readonly type: "skip" | "fail"; readonly reason: string };

/** What a test says about a case, given what the runner saw and what is known. */
export function judge(result: CaseResult | undefined, kind: FileSystemKind, name: string, gaps: KnownGaps = knownGaps[kind]): Verdict {
  const gap = gaps[name];
  if (result === undefined) return { type: "fail", reason: "the case did not report" };
  if (result.status === "skip") return { type: "skip", reason: result.detail };
  if (result.status === "fail")
    return gap === undefined ? { type: "fail", reason: result.detail } : { type: "skip", reason: `known: ${gap}` };
  if (gap !== undefined && kind === "cfs") return { type: "fail", reason: `passes now: take it from the list of known gaps (${gap})` };
  return { type: "pass" };
}
