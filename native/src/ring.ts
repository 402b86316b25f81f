/**
 * The typed border of cfs-uring: file requests for this event loop, carried by io_uring or by threads.
 *
 * Requests and completions cross as words (float64, safe integers) in memory that both sides see, one call per batch:
 *
 *   request:    | slot | operation | fd | offset | length | flags | view count | address, length of each view |
 *   completion: | slot | bytes moved, 0, or -errno |
 *
 * An address of 0 or more is an offset into `pool`; -1 - i names the i-th Uint8Array of the batch's `foreign` list, which the caller
 * keeps alive, attached and in place until the slot was reported. Numbers and names are those of native/crates/uring.
 */
import { CfsError } from "@cfs/core";

import { loadAddon } from "./binding.ts";

export const ringOperation = { read: 0, write: 1, syncData: 2, allocate: 3, punch: 4 } as const;

/** Words of a request before its views, words per view, words per completion. */
export const ringHeaderWords = 7;
export const ringViewWords = 2;
export const ringCompletionWords = 2;

/** Views of one request at most (IOV_MAX). */
export const ringViewsMax = 1024;

/** The file is open with O_DIRECT. */
export const ringFlagDirect = 1;

export type RingEngine = "automatic" | "io_uring" | "threads";

export interface RingOptions {
  /** "automatic" takes threads where the kernel refuses io_uring. */
  readonly engine: RingEngine;
  /** Requests in flight at most, 1 to 4096. */
  readonly slots: number;
  /** Pool memory, rounded up to whole 4 MiB; backed only where it was touched. */
  readonly poolBytes: number;
  /** Words that a batch may have; at least those of one request with ringViewsMax views. */
  readonly submissionWords: number;
  /** Threads, where the engine is threads. */
  readonly threadCount: number;
}

export interface Ring {
  readonly kind: "io_uring" | "threads";
  readonly description: string;
  /** Page-aligned memory that requests should use: the pool's bytes are 0 to poolBytes of this buffer, the rest is words. */
  readonly memory: ArrayBuffer;
  readonly poolBytes: number;
  readonly submissions: Float64Array;
  readonly completions: Float64Array;
  /** Starts the requests in the first `wordCount` submission words. A malformed batch throws: it is a bug of the caller. */
  submit(wordCount: number, foreign: readonly Uint8Array[] | null): void;
  /** Waits for what is in flight and gives the descriptors back; idempotent. `memory` stays valid while it is referenced. */
  close(): void;
}

interface NativeRing {
  readonly kind: "io_uring" | "threads";
  readonly description: string;
  readonly poolBytes: number;
  memory(): ArrayBuffer;
  submit(wordCount: number, foreign: readonly Uint8Array[] | null): void;
  close(): void;
}

interface RingAddon {
  readonly NativeRing: new (options: RingOptions, onCompletions: (count: number) => void) => NativeRing;
}

/**
 * Opens a ring in this loop. `onCompletions(count)` says that `count` completions lie in `completions`; a negative count is
 * the -errno of a ring that broke. Ticks and microtasks run after it. The loop stays alive while requests are in flight.
 */
export function openRing(options: RingOptions, onCompletions: (count: number) => void): Ring {
  const addon = loadAddon() as RingAddon;
  const native = construct(addon, options, onCompletions);
  const memory = native.memory();
  const { kind, poolBytes } = native;
  const submissions = new Float64Array(memory, poolBytes, options.submissionWords);
  const completions = new Float64Array(memory, submissions.byteOffset + submissions.byteLength, options.slots * ringCompletionWords);
  return {
    kind,
    memory,
    poolBytes,
    submissions,
    completions,
    get description() {
      return native.description;
    },
    submit: (wordCount, foreign) => native.submit(wordCount, foreign),
    close: () => native.close(),
  };
}

/** The addon's messages end in "(os error N)" where the machine said no. */
function construct(addon: RingAddon, options: RingOptions, onCompletions: (count: number) => void): NativeRing {
  try {
    return new addon.NativeRing(options, onCompletions);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    const errno = /\(os error (\d+)\)/.exec(message)?.[1];
    const what = `cannot open a ring (engine ${options.engine}, ${options.slots} slots, ${options.poolBytes} bytes): ${message}`;
    throw errno === undefined ? new CfsError("INVALID", what, { cause }) : CfsError.fromErrno(Number(errno), what, { cause });
  }
}
