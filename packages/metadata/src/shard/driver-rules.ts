/**
 * The small decisions of the shard driver on which safety stands, each a pure function. Production uses `standardRules`; tests plant a
 * bug by giving the driver a record with one of them wrong (testing/planted.ts) and see that it is found.
 */
import type { Entry, HardState, Ready } from "raft-ts";

export interface DriverRules {
  /** The hard state that must be in the log before the group's messages go out; null when nothing of it is new. */
  hardStateToStore(ready: Ready): HardState | null;
  /** Messages that depend on what is written wait until it is durable. */
  messagesWait(): boolean;
  /** Committed entries are applied only when what they came with is durable. */
  applyWaits(): boolean;
  /** The log hears that the state holds everything up to the snapshot. */
  storesSnapshot(how: "compacted" | "installed"): boolean;
  /** How far the gate is open; `held`: how far each of the voters has payloads. */
  gateIndex(held: readonly number[]): number;
  /** May an entry that has a payload be taken into the log? */
  mayTakeEntry(entry: Entry, isPayloadHere: boolean, gateIndex: number): boolean;
  /** How far this replica has payloads for certain. `durable`: what is in the log; `promised`: what will be when the write is done. */
  heldIndex(durable: number, promised: () => number): number;
  /** May a read that needs `readIndex` be answered? */
  mayAnswerRead(appliedIndex: number, readIndex: number): boolean;
  /** Lease mode: ticks that are due are given before messages and reads. */
  paysTicks(): boolean;
  /** Up to where the log may go when the state is durable up to `durableIndex`. */
  compactIndex(durableIndex: number, appliedIndex: number): number;
}

export const standardRules: DriverRules = {
  hardStateToStore: (ready) => ready.hardState,
  messagesWait: () => true,
  applyWaits: () => true,
  storesSnapshot: () => true,
  gateIndex: (held) => {
    const sorted = held.toSorted((a, b) => b - a);
    return sorted[Math.min(1, sorted.length - 1)] ?? 0;
  },
  mayTakeEntry: (entry, isPayloadHere, gateIndex) => isPayloadHere || entry.index <= gateIndex,
  heldIndex: (durable) => durable,
  mayAnswerRead: (appliedIndex, readIndex) => appliedIndex >= readIndex,
  paysTicks: () => true,
  compactIndex: (durableIndex) => durableIndex,
};
