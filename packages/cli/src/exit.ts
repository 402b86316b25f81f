/**
 * How a command ends: exit codes that scripts can rely on, and failures as one line with the next step.
 *
 * A CfsError is something that happens and is shown as `cfs: CODE: message`; whatever else arrives here is a bug and is shown with its stack.
 */
import { CfsError, errnoByCode, type ErrorCode } from "@cfs/core";
import { CommanderError } from "commander";
import { UsageError } from "./parse.ts";
import { setupFailure } from "./setup-failure.ts";

export const exitCodes = {
  ok: 0,
  /** The operation failed. */
  failed: 1,
  /** The command line or the configuration file is wrong; nothing was done. */
  usage: 2,
  /** The command worked, and what it found is not healthy: degraded, damaged, inconsistent. */
  unhealthy: 3,
  /** Ended by SIGINT or SIGTERM, as shells count it. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** What to do about each kind of failure; an empty text where the message says it all. `details.next` of an error goes before this. */
const nextStepByCode: Readonly<Record<ErrorCode, string>> = {
  NOT_PERMITTED: "run it as root, or as the owner of what it changes",
  NOT_FOUND: "check the name",
  INTERRUPTED: "",
  IO: "see the server's log; `cfs admin status` shows the drives",
  NO_DEVICE: "check that the device exists (for /dev/fuse: modprobe fuse)",
  TOO_BIG: "",
  BAD_HANDLE: "open the file again",
  AGAIN: "try again in a moment",
  NO_MEMORY: "free memory on this machine, or lower the memory budget",
  ACCESS_DENIED: "check the permissions, or run it as another user",
  BUSY: "close what uses it, then try again",
  EXISTS: "choose another name",
  CROSS_DEVICE: "copy instead of moving",
  NOT_DIRECTORY: "name a directory",
  IS_DIRECTORY: "name a file",
  INVALID: "",
  TEXT_BUSY: "stop the program that runs from this file",
  FILE_TOO_LARGE: "",
  NO_SPACE: "delete something, or add a drive with `cfs admin drive add`",
  READ_ONLY: "mount without --ro, or repair the drive that became read-only",
  TOO_MANY_LINKS: "",
  RANGE: "",
  DEADLOCK: "",
  NAME_TOO_LONG: "",
  NOT_IMPLEMENTED: "this server does not know that operation; compare `cfs version` on both sides",
  NOT_EMPTY: "name an empty directory",
  SYMLINK_LOOP: "",
  NO_DATA: "",
  OVERFLOW: "",
  NOT_SUPPORTED: "",
  ADDRESS_IN_USE: "stop the program that uses it, or choose another address with --listen",
  TIMED_OUT: "check that the server answers: `cfs status`",
  UNREACHABLE: "check the address, and that the server runs: `cfs status --server HOST:PORT`",
  STALE_HANDLE: "open the file or directory again",
  CORRUPT: "run `cfs admin scrub`, then `cfs fsck`",
  QUOTA: "delete something, or raise the quota",
};

/** What only a command says: wrong words on the command line or in the configuration file, a defect of cfs, a set-up that is not complete. */
export const ownCodes = ["USAGE", "BUG", "SETUP"] as const;
export type FailureCode = ErrorCode | (typeof ownCodes)[number];
/** Every code that a command can show; docs/operating/errors.md explains each. */
export const failureCodes: readonly FailureCode[] = [...(Object.keys(errnoByCode) as ErrorCode[]), ...ownCodes];

export interface Failure {
  readonly exitCode: ExitCode;
  readonly code: FailureCode;
  /** One sentence without the code. */
  readonly message: string;
  /** What to do now; empty when there is nothing to say. */
  readonly next: string;
  /** The stack of a bug. */
  readonly stack: string | null;
}

/** The outermost CfsError of a chain of causes. */
function cfsErrorIn(reason: unknown): CfsError | null {
  for (let at: unknown = reason; at instanceof Error; at = at.cause) {
    if (at instanceof CfsError) return at;
  }
  return null;
}

function describeError(error: CfsError): Failure {
  const prefix = `${error.code}: `;
  const message = error.message.startsWith(prefix) ? error.message.slice(prefix.length) : error.message;
  const own = error.details["next"];
  const exitCode = error.code === "INTERRUPTED" ? exitCodes.interrupted : exitCodes.failed;
  return { exitCode, code: error.code, message, next: typeof own === "string" ? own : nextStepByCode[error.code], stack: null };
}

/** What to say about whatever a command threw. Help and version texts, which commander throws too, are null: they are no failure. */
export function describeFailure(reason: unknown): Failure | null {
  if (reason instanceof CommanderError && reason.exitCode === 0) return null;
  if (reason instanceof UsageError) {
    return { exitCode: exitCodes.usage, code: "USAGE", message: reason.message, next: reason.next, stack: null };
  }
  if (reason instanceof Error && reason.name === "AbortError") {
    return { exitCode: exitCodes.interrupted, code: "INTERRUPTED", message: "interrupted", next: "", stack: null };
  }
  const incomplete = setupFailure(reason);
  if (incomplete !== null) return { exitCode: exitCodes.failed, ...incomplete, stack: null };
  const known = cfsErrorIn(reason);
  if (known !== null) return describeError(known);
  const stack = reason instanceof Error ? (reason.stack ?? reason.message) : String(reason);
  const message = reason instanceof Error ? reason.message : String(reason);
  return { exitCode: exitCodes.failed, code: "BUG", message, next: "this is a bug in cfs; please report it with the lines below", stack };
}
