/**
 * Cuts commands that would change very many regions of one file into several, so that others get their turn in between: a dense file of 100 GB takes
 * seconds to truncate (65 ms per 1,024 regions, most of it for the reference counts of segments).
 *
 * Every step leaves a state that a program could have made itself: a truncate drops the end first, a file is never shorter at first and then longer;
 * a punch or fallocate has done a part. A truncate is ended whoever dies in between: its first step notes in the state what is intended, the last one takes
 * the note away, and `endTruncations` goes on from there at start. Of a punch or fallocate a part may be left when both server and client die. The generator is asked for the next step after the last one was applied, and returns what is left to do as the command itself.
 */
import { fileSizeMax, regionBytes } from "@cfs/metadata";
import type { Allocate, ClientCommand, Command, KvState, SetAttributes } from "@cfs/metadata";

/** Regions that one command changes at most. */
export const regionsPerStep = 1024;

export function isDivisible(command: ClientCommand): boolean {
  return command.type === "allocate" || (command.type === "setAttributes" && command.sizeBytes !== null);
}

export function* stepsOf(state: KvState, command: ClientCommand): Generator<Command, ClientCommand, void> {
  if (command.type === "setAttributes" && command.sizeBytes !== null) return yield* truncateSteps(state, command, command.sizeBytes);
  if (command.type !== "allocate") return command;
  return command.action === "punch" ? yield* punchSteps(state, command) : yield* fillSteps(command);
}

/** Only the size; the rest of the command comes with its last step. */
export function truncateOnly(command: SetAttributes, sizeBytes: number): SetAttributes {
  return { ...command, sizeBytes, mode: null, uid: null, gid: null, atime: null, mtime: null, ctime: null };
}

function* truncateSteps(state: KvState, command: SetAttributes, sizeBytes: number): Generator<Command, ClientCommand, void> {
  for (let isFirst = true; ; isFirst = false) {
    const inode = state.inode(command.ino);
    if (!inode?.hasExtents || sizeBytes >= inode.sizeBytes) return command;
    const cut = cutBefore(state, command, Math.ceil(sizeBytes / regionBytes), Number.MAX_SAFE_INTEGER);
    // What is reserved past the end of the file goes with the first step, however much it is.
    const stepBytes = cut === null ? 0 : Math.min(cut * regionBytes, inode.sizeBytes - 1);
    if (stepBytes <= sizeBytes) return command;
    if (isFirst) yield { type: "intendTruncate", ino: command.ino, sizeBytes };
    // Somebody else has ended it: the client came back on another connection.
    else if (state.content.truncation(command.ino) !== sizeBytes) return command;
    yield truncateOnly(command, stepBytes);
  }
}

function* punchSteps(state: KvState, command: Allocate): Generator<ClientCommand, ClientCommand, void> {
  let end = command.offsetBytes + command.lengthBytes;
  for (;;) {
    const cut = cutBefore(state, command, Math.ceil(command.offsetBytes / regionBytes), Math.ceil(end / regionBytes));
    const offsetBytes = cut === null ? 0 : cut * regionBytes;
    if (offsetBytes <= command.offsetBytes || offsetBytes >= end) return { ...command, lengthBytes: end - command.offsetBytes };
    yield { ...command, offsetBytes, lengthBytes: end - offsetBytes };
    end = offsetBytes;
  }
}

/** Reserve and zero make a region wherever there is none. */
function* fillSteps(command: Allocate): Generator<ClientCommand, ClientCommand, void> {
  const end = command.offsetBytes + command.lengthBytes;
  let at = command.offsetBytes;
  // Refused as a whole, before a part of it is done.
  if (end > fileSizeMax) return command;
  while (end - at > regionsPerStep * regionBytes) {
    const next = at - (at % regionBytes) + regionsPerStep * regionBytes;
    yield { ...command, keepSize: true, offsetBytes: at, lengthBytes: next - at };
    at = next;
  }
  return { ...command, offsetBytes: at, lengthBytes: end - at };
}

/** Where in [first, end) the last `regionsPerStep` existing regions begin; null when there are no more than that. */
function cutBefore(state: KvState, { ino }: { readonly ino: SetAttributes["ino"] }, first: number, end: number): number | null {
  const runs = state.content.runs(ino)?.runs ?? [];
  let wanted = regionsPerStep;
  let cut: number | null = null;
  for (let at = runs.length - 1; at >= 0; at--) {
    const run = runs[at] as { readonly begin: number; readonly end: number };
    const from = Math.max(run.begin, first);
    const to = Math.min(run.end, end);
    if (run.end <= first) break;
    if (from >= to) continue;
    if (wanted === 0) return cut;
    const count = Math.min(to - from, wanted);
    wanted -= count;
    cut = to - count;
    if (cut > from) return cut;
  }
  return null;
}
