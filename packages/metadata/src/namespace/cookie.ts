/**
 * The place of a name in its directory listing: a 52-bit hash of the name, and the cookie made of it.
 *
 * Invariant: on disk (keys of directory entries) and in the hands of programs (telldir), so the function never changes; the test
 * holds fixed values. Cookies: 0 is the start, 1 ".", 2 "..", a name has hash + 3, so all are safe integers.
 * Names of equal hash share a cookie: a listing gives them all on one page.
 *
 * Why a hash and not the name itself: a cookie must be a number that stays valid while other names come and go.
 * Two multiplicative lanes of 32 bits, one with a rotation so that the lanes do not go in step, finished with xor-shift-multiply.
 */
import type { Name } from "@cfs/core";

const highMask = 0xf_ffff;
const twoTo32 = 0x1_0000_0000;

/** What the special entries take before the first name. */
export const firstNameCookie = 3;
export const nameHashMax: number = highMask * twoTo32 + 0xffff_ffff;

function finish(value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x7feb352d);
  value = Math.imul(value ^ (value >>> 15), 0x846ca68b | 0);
  return value ^ (value >>> 16);
}

/** 0 to 2^52-1. */
export function nameHash(name: Name): number {
  const length = name.length;
  let low = 0x2545f491 ^ length;
  let high = 0x6c078965;
  for (let at = 0; at < length; at++) {
    const code = name.charCodeAt(at);
    low = Math.imul(low ^ code, 0x01000193);
    high = Math.imul(high ^ code, 0x5bd1e995);
    high = (high << 13) | (high >>> 19);
  }
  const first = finish(low ^ high);
  const second = finish(high + Math.imul(first, 0x9e3779b1 | 0));
  return (second & highMask) * twoTo32 + (first >>> 0);
}

export function nameCookie(name: Name): number {
  return nameHash(name) + firstNameCookie;
}

/** The smallest hash that comes after `cookie` in a listing. */
export function hashAfterCookie(cookie: number): number {
  return cookie < firstNameCookie ? 0 : cookie - firstNameCookie + 1;
}
