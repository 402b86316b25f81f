/** Errors of Node's own calls (they carry errno and syscall) as CfsErrors; the one place of this package that knows their shape. */
import { CfsError } from "@cfs/core";

/** What `reason` says in the words of cfs. Anything that is neither a CfsError nor an error of the operating system is returned as it is: a bug. */
export function fromNodeError(reason: unknown, what: string): unknown {
  if (reason instanceof CfsError || !(reason instanceof Error)) return reason;
  const { errno, syscall } = reason as NodeJS.ErrnoException;
  if (errno === undefined || syscall === undefined) return reason;
  // Node's text is "ENOENT: no such file or directory, open '/x'": the middle part is the kernel's sentence.
  const sentence = reason.message.replace(/^[A-Z0-9]+: /, "").replace(/, \w+(?: '.*')?$/s, "");
  return CfsError.fromErrno(-errno, `${what}: ${sentence} (${syscall})`, { cause: reason });
}
