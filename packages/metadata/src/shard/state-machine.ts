/**
 * The port to the state of one group: what committed commands are applied to.
 *
 * Invariants that the machine keeps: `apply` is deterministic and does not wait; the durable state is the state at some applied index, whole;
 * and a snapshot that was staged becomes the state by `activate` or by the next `openMachine` that names its index, never by itself.
 */
import type { GroupId } from "./group-log.ts";

export interface AppliedCommand {
  readonly index: number;
  readonly term: number;
  readonly command: Uint8Array;
  /** Bytes of the payload beside it, which are read by group and index; null without one. */
  readonly payloadBytes: number | null;
}

/** The state at one index, read in chunks while the state goes on. */
export interface SnapshotReader {
  readonly index: number;
  /** At most `lengthMax` bytes. */
  read(offset: number, lengthMax: number): Promise<{ readonly bytes: Uint8Array; readonly isLast: boolean }>;
  /** Called once. */
  close(): void;
}

/** A snapshot that comes in. It counts for nothing until it was activated. */
export interface SnapshotWriter {
  /** In order, without a hole. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Everything was written: it is durable when this resolves. */
  finish(): Promise<void>;
  /** Takes the place of the state, in memory and durably. After finish(), and after the log knows that it did. */
  activate(): Promise<void>;
  /** It is not wanted any more. */
  abort(): void;
}

export interface StateMachine<Result> {
  /** The last index whose effects the state has. */
  readonly appliedIndex: number;
  /** The state after them is the state at `appliedIndex`, which counts entries that are no commands too. One result for each. */
  apply(commands: readonly AppliedCommand[], appliedIndex: number): readonly Result[];
  /** Makes the state durable; resolves with the index it has then, at least the one it had at the call. */
  checkpoint(): Promise<number>;
  /** The state as it is now. */
  openSnapshot(): SnapshotReader;
  receiveSnapshot(index: number): SnapshotWriter;
  /** Whether the state points at the payload of the entry. */
  isPayloadInUse(index: number): boolean;
  close(): Promise<void>;
}

/** Opens the durable state of a group; empty, at index 0, where there is none. A snapshot that was staged for `snapshotIndex` is activated, any other dropped. */
export type MachineOpener<Result> = (group: GroupId, snapshotIndex: number) => Promise<StateMachine<Result>>;
