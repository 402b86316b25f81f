/**
 * The namespace state machine: one command in, one outcome out, and the state has changed, or nothing has.
 *
 * Pure and synchronous. Invariant: everything that a command may read is read before its first change, so that a partial state can
 * throw NotCached without harm; a failed command has changed nothing. Nothing of the command is kept by reference but numbers,
 * strings and frozen sources: its byte fields may be views of a network buffer.
 */
import { unreachable } from "@cfs/core";
import type { ClientId } from "@cfs/core";
import { allocate } from "./allocate.ts";
import { setAttributes } from "./attributes.ts";
import type { Command } from "./commands.ts";
import { dropSegment, publish, relocate } from "./content/segments.ts";
import { copyRange } from "./copy-range.ts";
import { dropContent } from "./drop-content.ts";
import { link, unlink } from "./link-unlink.ts";
import { makeNode } from "./make-node.ts";
import { mend } from "./mend.ts";
import { reap } from "./remove-node.ts";
import { rename } from "./rename.ts";
import type { ApplyContext, ContentState, Outcome, State } from "./state.ts";
import { closeSession, format, grantInodes, openSession, setDrive } from "./system.ts";
import { intendTruncate } from "./truncate.ts";
import { writeSegment } from "./write-segment.ts";
import { write } from "./write.ts";
import { setXattr } from "./xattr.ts";

export function applyCommand(state: State, command: Command, context: ApplyContext): Outcome {
  switch (command.type) {
    case "makeNode":
      return makeNode(state, command, context);
    case "link":
      return link(state, command);
    case "unlink":
      return unlink(state, command, context);
    case "rename":
      return rename(state, command, context);
    case "setAttributes":
      return setAttributes(state, command);
    case "setXattr":
      return setXattr(state, command);
    case "write":
      return write(state, command, context);
    case "allocate":
      return allocate(state, command);
    case "copyRange":
      return copyRange(state, command);
    case "reap":
      return reap(state, command);
    case "openSession":
      return openSession(state, command.clientId);
    case "closeSession":
      return closeSession(state, command.clientId);
    case "grantInodes":
      return grantInodes(state, command);
    case "writeSegment":
      return writeSegment(state, command, context);
    case "publish":
      return publish(state, command);
    case "relocate":
      return relocate(state, command);
    case "dropSegment":
      return dropSegment(state, command);
    case "dropContent":
      return dropContent(state, command);
    case "intendTruncate":
      return intendTruncate(state, command);
    case "setDrive":
      return setDrive(state, command);
    case "format":
      return format(state, command);
    case "mend":
      return mend(state, command);
    default:
      return unreachable(command, "command");
  }
}

/** Notes that the session's command `seq` has been applied. False when it already was, or the session does not exist: then skip it. */
export function advanceSession(content: ContentState, clientId: ClientId, seq: number): boolean {
  const session = content.session(clientId);
  if (session === null || seq <= session.seq) return false;
  content.setSession(clientId, session);
  session.seq = seq;
  return true;
}
