/**
 * CfsError to the kernel's errno: one total table, so that a new code does not compile until FUSE has decided.
 *
 * ENOSYS is special: the kernel takes it as "this operation does not exist" and stops sending it for the life of the mount. A
 * Vfs says NOT_IMPLEMENTED only where that is meant; what one object lacks is NOT_SUPPORTED.
 */
import { CfsError, errnoByCode, type ErrorCode } from "@cfs/core";

export const fuseErrnoByCode: Readonly<Record<ErrorCode, number>> = errnoByCode;

/** Linux errno numbers that the session itself answers or meets. */
export const errno = {
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  EBADF: 9,
  ENODEV: 19,
  EINVAL: 22,
  EROFS: 30,
  ERANGE: 34,
  ENOSYS: 38,
  EPROTO: 71,
  ECONNABORTED: 103,
  ENOTCONN: 107,
} as const;

/** The errno for a CfsError; null for anything else, which is a defect and has to be logged. */
export function errnoOf(reason: unknown): number | null {
  return reason instanceof CfsError ? fuseErrnoByCode[reason.code] : null;
}
