/**
 * Rules for names of directory entries: 1 to 255 bytes, without "/" and NUL, and neither "." nor ".." where one is made or removed.
 *
 * Source: path_resolution(7), NAME_MAX.
 */
import type { ErrorCode, Name } from "@cfs/core";

export const nameBytesMax = 255;
/** A symlink's target without its final NUL: PATH_MAX less one. */
export const targetBytesMax = 4095;

/** The type's own claim, without a word on "." and "..". */
export function isName(text: string): text is Name {
  return text.length > 0 && text.length <= nameBytesMax && !text.includes("/") && !text.includes("\0");
}

/** Null when the name may be made, removed or replaced. */
export function nameError(name: Name): ErrorCode | null {
  if (name.length > nameBytesMax) return "NAME_TOO_LONG";
  return name === "." || name === ".." || !isName(name) ? "INVALID" : null;
}
