/**
 * What mount(8) and fstab say to a mount helper: `mount.fuse.cfs SOURCE MOUNTPOINT [-sfnv] [-N NAMESPACE] [-t TYPE] [-o a,b=c]`.
 *
 * Options fall in four kinds: those of cfs, flags of the mount that the kernel keeps (noexec, noatime …), words for mount(8) and the boot
 * scripts that mean nothing here (_netdev, nofail, x-…), and unknown ones, which are refused unless `-s` asks for silence.
 * Source: mount(8) "External helpers", fuse(8).
 */
import { type CacheMode, cacheModes } from "@cfs/client";
import type { LogLevel } from "@cfs/core";
import { type Address, countBetween, parseAddress, UsageError } from "./parse.ts";
import { parseLogLevel } from "./commands/server.ts";

export interface HelperRequest {
  readonly server: Address;
  readonly mountpoint: string;
  readonly isRemount: boolean;
  /** `-f`: everything but the mount itself. */
  readonly isFake: boolean;
  readonly readOnly: boolean;
  /** Null: nothing was said. */
  readonly allowOther: boolean | null;
  readonly dev: boolean;
  readonly suid: boolean;
  readonly cacheMode: CacheMode;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly log: string | null;
  readonly logLevel: LogLevel;
  /** Flags for the kernel that are set on the mount once it is there, in order. */
  readonly kernelFlags: readonly string[];
}

/** Kept by the kernel for each mount; mount(8) sets them by itself when it remounts. */
const kernelWords: ReadonlySet<string> = new Set([
  "noexec", "noatime", "nodiratime", "relatime", "strictatime", "lazytime", "sync", "dirsync", "nosymfollow",
]); // prettier-ignore

/** Defaults, words for mount(8) and init systems, and what every mount of cfs does anyway. */
const idleWords: ReadonlySet<string> = new Set([
  "defaults", "exec", "atime", "diratime", "norelatime", "nostrictatime", "nolazytime", "async", "symfollow", "iversion", "noiversion",
  "auto", "noauto", "user", "users", "nouser", "owner", "group", "nofail", "_netdev", "netdev", "silent", "loud", "bg", "fg",
  "default_permissions", "nonempty", "auto_unmount", "big_writes", "rw",
]); // prettier-ignore

const idlePrefixes = [
  "x-",
  "X-",
  "comment=",
  "user_id=",
  "group_id=",
  "rootmode=",
  "fsname=",
  "subtype=",
  "max_read=",
  "blksize=",
  "context=",
  "fscontext=",
  "defcontext=",
  "rootcontext=",
];

interface Draft {
  isRemount: boolean;
  readOnly: boolean;
  allowOther: boolean | null;
  dev: boolean;
  suid: boolean;
  cacheMode: CacheMode;
  uid: number | null;
  gid: number | null;
  log: string | null;
  logLevel: LogLevel;
  kernelFlags: string[];
}

const parseId = countBetween(0, 4_294_967_294);

function parseCacheMode(text: string): CacheMode {
  const mode = cacheModes.find((name) => name === text);
  if (mode === undefined) throw new UsageError(`cache_mode=${text} is none of ${cacheModes.join(", ")}`);
  return mode;
}

const wordEffects: Readonly<Record<string, (draft: Draft) => void>> = {
  ro: (draft) => void (draft.readOnly = true),
  rw: (draft) => void (draft.readOnly = false),
  remount: (draft) => void (draft.isRemount = true),
  allow_other: (draft) => void (draft.allowOther = true),
  noallow_other: (draft) => void (draft.allowOther = false),
  dev: (draft) => void (draft.dev = true),
  nodev: (draft) => void (draft.dev = false),
  suid: (draft) => void (draft.suid = true),
  nosuid: (draft) => void (draft.suid = false),
};

const valueEffects: Readonly<Record<string, (draft: Draft, value: string) => void>> = {
  cache_mode: (draft, value) => void (draft.cacheMode = parseCacheMode(value)),
  uid: (draft, value) => void (draft.uid = parseId(value)),
  gid: (draft, value) => void (draft.gid = parseId(value)),
  log: (draft, value) => void (draft.log = value),
  log_level: (draft, value) => void (draft.logLevel = parseLogLevel(value)),
};

/** False when nobody knows the option. */
function applyOption(draft: Draft, option: string): boolean {
  const [word, value] = splitOnce(option, "=");
  if (value === null && Object.hasOwn(wordEffects, word)) {
    wordEffects[word]?.(draft);
    return true;
  }
  if (value !== null && Object.hasOwn(valueEffects, word)) {
    valueEffects[word]?.(draft, value);
    return true;
  }
  if (kernelWords.has(option)) {
    draft.kernelFlags.push(option);
    return true;
  }
  // "user" and "users" stand for noexec, nosuid and nodev as well, unless they are taken back after it.
  if (option === "user" || option === "users" || option === "owner" || option === "group") {
    draft.suid = false;
    draft.dev = false;
    if (option.startsWith("user") && !draft.kernelFlags.includes("noexec")) draft.kernelFlags.push("noexec");
  }
  if (option === "exec") draft.kernelFlags = draft.kernelFlags.filter((flag) => flag !== "noexec");
  return idleWords.has(option) || idlePrefixes.some((prefix) => option.startsWith(prefix));
}

function splitOnce(text: string, by: string): readonly [string, string | null] {
  const at = text.indexOf(by);
  return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
}

interface HelperWords {
  readonly operands: string[];
  readonly options: string[];
  isFake: boolean;
  isSloppy: boolean;
}

/** mount(8) puts the operands first; by hand people put them anywhere. */
function readWords(args: readonly string[]): HelperWords {
  const words: HelperWords = { operands: [], options: [], isFake: false, isSloppy: false };
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? "";
    const withValue = /^-([oNt])(.*)$/s.exec(arg);
    if (withValue !== null) {
      const value = withValue[2] === "" ? args[++at] : withValue[2];
      if (value === undefined) throw new UsageError(`${arg} wants a value behind it`);
      if (withValue[1] === "o") words.options.push(...value.split(",").filter((option) => option !== ""));
    } else if (/^-[sfnvrw]+$/.test(arg)) {
      words.isFake ||= arg.includes("f");
      words.isSloppy ||= arg.includes("s");
      if (arg.includes("r")) words.options.push("ro");
    } else if (arg.startsWith("-") && arg.length > 1) {
      throw new UsageError(`unknown flag ${arg}; this is called by mount(8): mount -t fuse.cfs HOST:PORT MOUNTPOINT -o OPTIONS`);
    } else words.operands.push(arg);
  }
  return words;
}

export function parseHelperArguments(args: readonly string[]): HelperRequest {
  const { operands, options, isFake, isSloppy } = readWords(args);
  const [source, mountpoint, ...rest] = operands;
  if (source === undefined || mountpoint === undefined || rest.length > 0) {
    throw new UsageError("expected HOST:PORT and MOUNTPOINT, as in: mount -t fuse.cfs 127.0.0.1:9400 /mnt/cfs");
  }
  const draft: Draft = {
    isRemount: false, readOnly: false, allowOther: null, dev: true, suid: true, cacheMode: "writeback",
    uid: null, gid: null, log: null, logLevel: "info", kernelFlags: [],
  }; // prettier-ignore
  for (const option of options) {
    if (!applyOption(draft, option) && !isSloppy)
      throw new UsageError(`unknown mount option "${option}"; docs/operating/cli.md lists those that there are`);
  }
  return { ...draft, server: parseAddress(source), mountpoint, isFake };
}
