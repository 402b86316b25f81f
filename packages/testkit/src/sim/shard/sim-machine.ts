/**
 * The state of one group under the shard driver: registers, with a durable copy that is as old as the last checkpoint.
 *
 * Checkpoints and snapshots take simulated time, and a crash in between leaves what was durable before. Entries that are no commands count with
 * nothing in them, so that states can be compared at every index.
 */
import { assert } from "@cfs/core";
import type { AppliedCommand, SnapshotReader, SnapshotWriter, StateMachine } from "@cfs/metadata";

import type { RegisterOutput } from "../../linearizability/index.ts";
import { RegisterMachine } from "../raft/register-machine.ts";

/** What survives a crash. */
export class MachineDisk {
  durable: Uint8Array = new RegisterMachine().snapshot(0);
  staged: { readonly index: number; readonly bytes: Uint8Array } | null = null;
}

export interface MachineHost {
  /** Resolves after some simulated time, in this life only. */
  delay(): Promise<void>;
  /** A command was applied, and left this state. */
  applied(command: AppliedCommand, digest: number): void;
  /** This is the state at `index`. */
  state(index: number, digest: number): void;
}

/** Payloads of so many of the newest entries are still in use: older ones count as packed. */
const payloadsInUse = 30;

export class SimMachine implements StateMachine<RegisterOutput> {
  readonly #disk: MachineDisk;
  readonly #host: MachineHost;
  readonly #paddingBytes: number;
  #machine: RegisterMachine;

  constructor(disk: MachineDisk, host: MachineHost, snapshotIndex: number, paddingBytes: number) {
    const { staged } = disk;
    if (staged !== null && staged.index === snapshotIndex && RegisterMachine.restore(disk.durable).appliedIndex < snapshotIndex)
      disk.durable = staged.bytes;
    disk.staged = null;
    this.#disk = disk;
    this.#host = host;
    this.#paddingBytes = paddingBytes;
    this.#machine = RegisterMachine.restore(disk.durable);
  }

  get appliedIndex(): number {
    return this.#machine.appliedIndex;
  }

  get digest(): number {
    return this.#machine.digest;
  }

  read(key: string): number {
    return this.#machine.read(key);
  }

  apply(commands: readonly AppliedCommand[], appliedIndex: number): readonly RegisterOutput[] {
    const outputs = commands.map((command) => {
      this.#passTo(command.index - 1);
      const output = this.#machine.apply(command.index, command.term, command.command);
      assert(output !== null, "a command has an output");
      this.#host.applied(command, this.#machine.digest);
      return output;
    });
    this.#passTo(appliedIndex);
    return outputs;
  }

  #passTo(index: number): void {
    while (this.#machine.appliedIndex < index) {
      this.#machine.apply(this.#machine.appliedIndex + 1, 0, null);
      this.#host.state(this.#machine.appliedIndex, this.#machine.digest);
    }
  }

  async checkpoint(): Promise<number> {
    const bytes = this.#machine.snapshot(0);
    const index = this.#machine.appliedIndex;
    await this.#host.delay();
    this.#disk.durable = bytes;
    return index;
  }

  openSnapshot(): SnapshotReader {
    const bytes = this.#machine.snapshot(this.#paddingBytes);
    return {
      index: this.#machine.appliedIndex,
      read: async (offset, lengthMax) => {
        await this.#host.delay();
        const part = bytes.subarray(offset, offset + lengthMax);
        return { bytes: part, isLast: offset + part.length === bytes.length };
      },
      close: () => undefined,
    };
  }

  receiveSnapshot(index: number): SnapshotWriter {
    const parts: Uint8Array[] = [];
    let sizeBytes = 0;
    return {
      write: async (offset, bytes) => {
        assert(offset === sizeBytes, "a snapshot comes in order");
        parts.push(Uint8Array.from(bytes));
        sizeBytes += bytes.length;
        await this.#host.delay();
      },
      finish: async () => {
        await this.#host.delay();
        this.#disk.staged = { index, bytes: Buffer.concat(parts) };
      },
      activate: async () => {
        await this.#host.delay();
        this.#disk.durable = Buffer.concat(parts);
        this.#disk.staged = null;
        this.#machine = RegisterMachine.restore(this.#disk.durable);
        assert(this.#machine.appliedIndex === index, "a snapshot holds the state of its index");
        this.#host.state(index, this.#machine.digest);
      },
      abort: () => undefined,
    };
  }

  isPayloadInUse(index: number): boolean {
    return index > this.#machine.appliedIndex - payloadsInUse;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
