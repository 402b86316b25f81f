/** Turns errors of node:fs into CfsErrors; the only file that knows their shape (`errno`, negative, and `syscall`). */
import { CfsError } from "@cfs/core";

/** `what` names the operation and the object, such as "open /data/journal-1". */
export function fromNodeError(reason: unknown, what: string): CfsError {
  if (reason instanceof CfsError) return reason;
  const errno = reason instanceof Error && "errno" in reason && typeof reason.errno === "number" ? -reason.errno : 0;
  const message = `${what}: ${reason instanceof Error ? sentenceOf(reason.message) : String(reason)}`;
  return errno > 0
    ? CfsError.fromErrno(errno, message, { cause: reason, details: { errno } })
    : new CfsError("IO", message, { cause: reason });
}

/** Node's text is "EACCES: permission denied, open '/x'": the call and the path are in `what` already. */
function sentenceOf(text: string): string {
  return text.replace(/^([A-Z0-9]+): (.+?), \w+(?: '.*')?$/s, "$2 ($1)");
}
