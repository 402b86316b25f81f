/**
 * Runs commands: on the partial state first, then, with the next sequence number, into the session to the server.
 *
 * Invariant: a command is submitted if and only if it succeeded on the partial state, in the same synchronous stretch; so the order of
 * submission is the order of application. The one exception is a reap of an inode that is no longer cached.
 */
import type { ClientId, Clock, InodeNumber } from "@cfs/core";
import { applyCommand, NotCached } from "@cfs/metadata";
import type { ApplyContext, ClientCommand, FileKind, Moment } from "@cfs/metadata";
import { MustWait } from "./attempts.ts";
import type { Attempts } from "./attempts.ts";
import type { Durability } from "./durability.ts";
import type { InodeNumbers } from "./inode-numbers.ts";
import type { PartialState } from "./partial-state.ts";
import type { PooledPayload } from "./payload-pool.ts";
import { quickError, quickErrorOf } from "./quick-error.ts";
import type { Remote } from "./remote.ts";
import type { Awaitable } from "./vfs.ts";

export interface CommandRunnerParts {
  readonly remote: Remote;
  readonly clock: Clock;
  readonly state: PartialState;
  readonly durability: Durability;
  readonly numbers: InodeNumbers;
  readonly attempts: Attempts;
}

const noPayload: readonly Uint8Array[] = Object.freeze([]);
/** On this side it says only that somebody has the file open; the server puts in the session's own. */
const context: ApplyContext = { clientId: "0".repeat(32) as ClientId, payload: null };

export class CommandRunner {
  readonly #remote: Remote;
  readonly #clock: Clock;
  readonly #state: PartialState;
  readonly #durability: Durability;
  readonly #numbers: InodeNumbers;
  readonly #attempts: Attempts;
  readonly #isReadOnly: boolean;
  /** Called after every change with the inodes that lost their last name. */
  onOrphans: (orphans: readonly InodeNumber[]) => void = () => {};

  constructor(parts: CommandRunnerParts, options: { readonly isReadOnly: boolean }) {
    this.#remote = parts.remote;
    this.#clock = parts.clock;
    this.#state = parts.state;
    this.#durability = parts.durability;
    this.#numbers = parts.numbers;
    this.#attempts = parts.attempts;
    this.#isReadOnly = options.isReadOnly;
  }

  get isReadOnly(): boolean {
    return this.#isReadOnly;
  }

  now(): Moment {
    return this.#clock.wallTime();
  }

  /** Runs a step that applies commands; its result waits while too much is on its way. */
  change<T>(step: () => T): Awaitable<T> {
    if (this.#isReadOnly) throw quickError("READ_ONLY", "this mount is read-only");
    return this.#held(this.#attempts.run(() => this.#finish(step())));
  }

  /** Back-pressure: holds a result back while the memory of what is on its way is over its budget. */
  #held<T>(result: Awaitable<T>): Awaitable<T> {
    if (result instanceof Promise) return result.then((value) => (this.#durability.hasRoom ? value : this.#whenRoom(value)));
    return this.#durability.hasRoom ? result : this.#whenRoom(result);
  }

  /** Applies and submits, inside a step. Throws NotCached before any change, or a CfsError that names the command. */
  apply(command: ClientCommand, payload: PooledPayload | null = null, spaceBytes = 0): void {
    this.#state.stampSeq = this.#durability.lastSeq + 1;
    const { errno } = applyCommand(this.#state, command, context);
    if (errno !== 0) throw quickErrorOf(errno, describe(command));
    this.#submit(command, payload, spaceBytes);
  }

  /** Like apply, with the next new inode number, which is used up only by success. */
  applyNew(kind: FileKind, parent: InodeNumber, make: (ino: InodeNumber) => ClientCommand): InodeNumber {
    if (this.#numbers.isEmpty) throw new MustWait(() => this.#numbers.refill());
    const ino = this.#numbers.peek(kind, parent);
    this.apply(make(ino));
    this.#numbers.take();
    return ino;
  }

  /** Reaps an orphan. Never waits: when the inode is not cached, there is nothing here to change. */
  reap(ino: InodeNumber): void {
    const command = { type: "reap", ino } as const;
    try {
      this.apply(command);
    } catch (reason) {
      if (!(reason instanceof NotCached)) throw reason;
      this.#state.orphans.delete(ino);
      this.#submit(command, null, 0);
      this.#state.voidInode(ino, this.#durability.lastSeq);
    }
    this.#state.settle();
  }

  #submit(command: ClientCommand, payload: PooledPayload | null, spaceBytes: number): void {
    const seq = this.#durability.submit(payload?.memoryBytes ?? ownBytesOf(command), spaceBytes);
    this.#remote.submit(seq, command, payload?.parts ?? noPayload, payload?.release ?? null);
  }

  #finish<T>(result: T): T {
    this.#state.settle();
    const orphans = this.#state.takeNewOrphans();
    if (orphans.length > 0) this.onOrphans(orphans);
    return result;
  }

  async #whenRoom<T>(value: T): Promise<T> {
    while (!this.#durability.hasRoom) await this.#durability.whenRoom();
    return value;
  }
}

/** Bytes that a command carries itself. */
function ownBytesOf(command: ClientCommand): number {
  if (command.type === "write") return command.source.kind === "inline" ? command.lengthBytes : 0;
  return command.type === "setXattr" ? (command.value?.length ?? 0) : 0;
}

/** For error messages: what was tried, on which object. */
function describe(command: ClientCommand): string {
  switch (command.type) {
    case "makeNode":
      return `making ${command.name ?? "a nameless file"} in directory ${command.parent}`;
    case "link":
      return `linking inode ${command.ino} as ${command.name} in directory ${command.parent}`;
    case "unlink":
      return `removing ${command.name} from directory ${command.parent}`;
    case "rename":
      return `renaming ${command.name} in directory ${command.parent} to ${command.newName} in directory ${command.newParent}`;
    case "copyRange":
      return `copying ${command.lengthBytes} bytes from inode ${command.source} to inode ${command.target}`;
    case "write":
    case "allocate":
      return `${command.type} of ${command.lengthBytes} bytes at ${command.offsetBytes} of inode ${command.ino}`;
    case "setXattr":
      return `setting ${command.name} of inode ${command.ino}`;
    default:
      return `${command.type} of inode ${command.ino}`;
  }
}
