/**
 * A state machine for tests of the shard driver: a register per key, and a chained hash of everything that was applied.
 *
 * Its "disk" outlives a crash and holds what was made durable: nothing else does. Commands are `key=value`, or anything: the hash tells.
 */
import { createHash } from "node:crypto";
import { assert } from "@cfs/core";
import type { AppliedCommand, SnapshotReader, SnapshotWriter, StateMachine } from "@cfs/metadata";

interface State {
  readonly appliedIndex: number;
  readonly registers: Readonly<Record<string, string>>;
  readonly hash: string;
}

const empty: State = { appliedIndex: 0, registers: {}, hash: "" };

/** What survives a crash: the durable state, and a snapshot that was staged. */
export class MachineDisk {
  durable: State = empty;
  staged: { readonly index: number; readonly bytes: Uint8Array } | null = null;
}

export class TestMachine implements StateMachine<string> {
  appliedIndex: number;
  readonly registers: Map<string, string>;
  hash: string;
  /** By index, since this machine was opened. */
  readonly applied: Map<number, string> = new Map();
  readonly #disk: MachineDisk;
  /** Payloads up to here are packed. */
  packedIndex = 0;
  readonly #isAlive: () => boolean;
  readonly #pause: () => Promise<void>;
  #isClosed = false;

  /** `isAlive`: false once the process was killed; the disk hears no more. `pause`: how long the disk takes. */
  constructor(disk: MachineDisk, snapshotIndex: number, isAlive: () => boolean, pause: () => Promise<void>) {
    if (disk.staged !== null && disk.staged.index === snapshotIndex && disk.durable.appliedIndex < snapshotIndex) {
      disk.durable = decode(disk.staged.bytes);
    }
    disk.staged = null;
    this.#disk = disk;
    this.#isAlive = isAlive;
    this.#pause = pause;
    this.appliedIndex = disk.durable.appliedIndex;
    this.registers = new Map(Object.entries(disk.durable.registers));
    this.hash = disk.durable.hash;
  }

  apply(commands: readonly AppliedCommand[], appliedIndex: number): readonly string[] {
    assert(!this.#isClosed, "a closed machine applies nothing");
    const results = commands.map(({ index, term, command, payloadBytes }) => {
      assert(index > this.appliedIndex, "commands come in order, once");
      const text = Buffer.from(command).toString();
      this.hash = createHash("sha1").update(`${this.hash} ${index} ${term} ${text} ${payloadBytes}`).digest("hex");
      this.applied.set(index, `${term}:${text}`);
      const [key, value] = text.split("=");
      const before = this.registers.get(key as string) ?? "";
      this.registers.set(key as string, value ?? "");
      return before;
    });
    this.appliedIndex = appliedIndex;
    return results;
  }

  #state(): State {
    return { appliedIndex: this.appliedIndex, registers: Object.fromEntries(this.registers), hash: this.hash };
  }

  async checkpoint(): Promise<number> {
    await this.#pause();
    // A state newer than the one at the call is as good.
    const state = this.#state();
    if (this.#isAlive()) this.#disk.durable = state;
    await this.#pause();
    return state.appliedIndex;
  }

  openSnapshot(): SnapshotReader {
    const bytes = encode(this.#state());
    return {
      index: this.appliedIndex,
      read: async (offset, lengthMax) => {
        const part = bytes.subarray(offset, offset + lengthMax);
        return { bytes: part, isLast: offset + part.length === bytes.length };
      },
      close: () => undefined,
    };
  }

  receiveSnapshot(index: number): SnapshotWriter {
    const parts: Uint8Array[] = [];
    let size = 0;
    return {
      write: async (offset, bytes) => {
        assert(offset === size, "a snapshot comes in order");
        parts.push(bytes);
        size += bytes.length;
        await this.#pause();
      },
      finish: async () => {
        await this.#pause();
        if (this.#isAlive()) this.#disk.staged = { index, bytes: Buffer.concat(parts) };
      },
      activate: async () => {
        await this.#pause();
        if (!this.#isAlive()) return;
        const state = decode(Buffer.concat(parts));
        this.#disk.durable = state;
        this.#disk.staged = null;
        this.appliedIndex = state.appliedIndex;
        this.hash = state.hash;
        this.registers.clear();
        for (const [key, value] of Object.entries(state.registers)) this.registers.set(key, value);
      },
      abort: () => undefined,
    };
  }

  isPayloadInUse(index: number): boolean {
    return index > this.packedIndex;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }
}

function encode(state: State): Uint8Array {
  return Buffer.from(JSON.stringify(state));
}

function decode(bytes: Uint8Array): State {
  return JSON.parse(Buffer.from(bytes).toString()) as State;
}
