/**
 * INIT: what this session and the kernel agree on. Pure.
 *
 * fuse_init_in: | major 4 | minor 4 | max_readahead 4 | flags 4 | flags2 4 | unused 44 |
 * fuse_init_out: | major 4 | minor 4 | max_readahead 4 | flags 4 | max_background 2 | congestion 2 | max_write 4 | time_gran 4 |
 *   max_pages 2 | map_alignment 2 | flags2 4 | max_stack_depth 4 | request_timeout 2 | unused 22 |
 * Invariant: a flag is answered only if the kernel offered it. No FLOCK or POSIX_LOCKS: one client owns the mount, so that the
 * kernel's own locks are exact.
 */
import { CfsError } from "@cfs/core";
import { initFlag, initInBytesMin, protocolMajor, protocolMinor, protocolMinorMin, type InitFlagName } from "./protocol.ts";
import type { Request } from "./request.ts";

export interface InitOffer {
  readonly major: number;
  readonly minor: number;
  readonly maxReadaheadBytes: number;
  readonly flags: ReadonlySet<InitFlagName>;
}

export interface InitWish {
  /** Largest WRITE and READ in bytes: whole pages, at most what the device's slots hold and max_pages_limit allows. */
  readonly maxWriteBytes: number;
  readonly maxReadaheadBytes: number;
  /** Requests that the kernel sends in the background (read-ahead, writeback) before it holds back. 1 to 65535. */
  readonly maxBackground: number;
  /** Above this many the kernel counts the mount as congested. */
  readonly congestionThreshold: number;
  /** The kernel gathers small writes and owns size and mtime of files being written. Excludes other writers of the same files. */
  readonly writebackCache: boolean;
  readonly posixAcl: boolean;
  readonly cacheSymlinks: boolean;
  /** Cached pages go only when told to (Vfs.onInvalidate), not whenever mtime looks new. */
  readonly explicitInvalidation: boolean;
}

export interface Negotiated {
  readonly minor: number;
  readonly maxWriteBytes: number;
  readonly maxReadaheadBytes: number;
  readonly maxBackground: number;
  readonly congestionThreshold: number;
  readonly flags: readonly InitFlagName[];
}

const flagNames = Object.keys(initFlag) as InitFlagName[];
const pageBytes = 4096;
const initInBytesFull = 64;

export function decodeInit(request: Request): InitOffer {
  if (request.bodyBytes < initInBytesMin) throw new CfsError("CORRUPT", `FUSE INIT of ${request.bodyBytes} bytes`);
  const low = request.u32(12);
  const isExtended = request.bodyBytes >= initInBytesFull && hasBit(low, 0, initFlag.initExtended);
  const upper = isExtended ? request.u32(16) : 0;
  const flags = new Set(flagNames.filter((name) => hasBit(low, upper, initFlag[name])));
  return { major: request.u32(0), minor: request.u32(4), maxReadaheadBytes: request.u32(8), flags };
}

function hasBit(low: number, upper: number, bit: number): boolean {
  return ((bit < 32 ? low >>> bit : upper >>> (bit - 32)) & 1) === 1;
}

export function negotiate(offer: InitOffer, wish: InitWish): Negotiated {
  if (offer.major !== protocolMajor || offer.minor < protocolMinorMin) {
    const wanted = `${protocolMajor}.${protocolMinorMin}`;
    throw new CfsError("NOT_SUPPORTED", `the kernel speaks FUSE ${offer.major}.${offer.minor}; ${wanted} or newer is needed (Linux 5.4)`);
  }
  const flags = wishedFlags(wish).filter((name) => offer.flags.has(name));
  return {
    minor: Math.min(offer.minor, protocolMinor),
    maxWriteBytes: Math.max(pageBytes, Math.floor(wish.maxWriteBytes / pageBytes) * pageBytes),
    maxReadaheadBytes: Math.min(offer.maxReadaheadBytes, wish.maxReadaheadBytes),
    maxBackground: wish.maxBackground,
    congestionThreshold: wish.congestionThreshold,
    flags,
  };
}

function wishedFlags(wish: InitWish): InitFlagName[] {
  const flags: InitFlagName[] = [
    "asyncRead",
    "atomicTruncate",
    "exportSupport",
    "bigWrites",
    "doReaddirplus",
    "readdirplusAuto",
    "asyncDirectIo",
    "parallelDirops",
    "abortError",
    "maxPages",
    "handleKillprivV2",
    "setxattrExtended",
    "initExtended",
    "directIoAllowMmap",
    "hasResend",
  ];
  if (wish.writebackCache) flags.push("writebackCache");
  // Under a default ACL the umask does not count, so the kernel must leave it to us (DONT_MASK).
  if (wish.posixAcl) flags.push("posixAcl");
  flags.push("dontMask");
  if (wish.cacheSymlinks) flags.push("cacheSymlinks");
  flags.push(wish.explicitInvalidation ? "explicitInvalidateData" : "autoInvalidateData");
  return flags;
}

/** Writes fuse_init_out at word index `at`: 16 words. */
export function encodeInit(words: Uint32Array, at: number, negotiated: Negotiated): void {
  let low = 0;
  let upper = 0;
  for (const name of negotiated.flags) {
    const bit = initFlag[name];
    if (bit < 32) low |= 1 << bit;
    else upper |= 1 << (bit - 32);
  }
  words.fill(0, at, at + 16);
  words[at] = protocolMajor;
  words[at + 1] = negotiated.minor;
  words[at + 2] = negotiated.maxReadaheadBytes;
  words[at + 3] = low >>> 0;
  words[at + 4] = (negotiated.congestionThreshold << 16) | negotiated.maxBackground;
  words[at + 5] = negotiated.maxWriteBytes;
  words[at + 6] = 1;
  words[at + 7] = negotiated.maxWriteBytes / pageBytes;
  words[at + 8] = upper >>> 0;
}
