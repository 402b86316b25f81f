/**
 * The ordered queue of one client session: commands are proposed, and requests answered, in the order in which they came.
 *
 * Large writes that follow each other are gathered into groups of up to a segment. A group's bytes are packed and written to the drives as soon as
 * it is full (or reached), while earlier items are still being worked on; only its entry in the log waits for its turn. So a stream of writes keeps
 * the drives busy, the log stays in order, and nothing is logged that is not already on the drives.
 * Invariant: payload memory is given back exactly once: when the journal has copied it, when its group is stored, or when its command failed.
 */
import { CfsError } from "@cfs/core";
import type { ClientId } from "@cfs/core";
import { locate, promisedBytes } from "@cfs/metadata";
import type { ClientCommand, CopyRange, KvState, Proposed, ShardDriver, ShardLog, Write } from "@cfs/metadata";
import type { BufferPool } from "@cfs/storage";
import { isDivisible, stepsOf, truncateOnly } from "./bounded-steps.ts";
import type { Capacity } from "./capacity.ts";
import type { PackQueue } from "./pack-queue.ts";
import { givePayload } from "./payload-pool.ts";
import type { Piece, SegmentWriter, StoredSegment } from "./segment-writer.ts";

/** A write of this size may go into a group. */
const groupWriteBytesMin = 64 << 10;
/** A group of at least this size skips the journal. */
const groupBytesMin = 512 << 10;
/** Groups being packed and written at once. */
const groupsInFlightMax = 12;

interface PayloadWrite {
  readonly seq: number;
  readonly command: Write;
  readonly payload: Uint8Array;
}

interface Group {
  readonly kind: "group";
  readonly writes: PayloadWrite[];
  bytes: number;
  stored: Promise<StoredSegment> | null;
}

type Item =
  | Group
  | { readonly kind: "command"; readonly seq: number; readonly command: ClientCommand; readonly payload: Uint8Array | null }
  | { readonly kind: "request"; readonly answer: () => void };

export interface CommandQueueParts {
  readonly state: KvState;
  readonly driver: ShardDriver;
  readonly log: ShardLog;
  readonly writer: SegmentWriter;
  readonly packQueue: PackQueue;
  readonly pool: BufferPool;
  readonly capacity: Capacity;
}

export interface CommandQueueEvents {
  /** Everything up to `seq` is durable. */
  onDurable(seq: number): void;
  onRejected(seq: number, command: ClientCommand, error: CfsError): void;
  /** The queue cannot go on: the session ends. */
  onFailed(error: CfsError): void;
}

interface Undurable {
  readonly index: number;
  readonly seq: number;
}

export class CommandQueue {
  readonly #parts: CommandQueueParts;
  readonly #clientId: ClientId;
  readonly #events: CommandQueueEvents;
  readonly #items: Item[] = [];
  readonly #undurable: Undurable[] = [];
  #groupsInFlight = 0;
  #working: Promise<void> | null = null;
  #isClosed = false;
  /** Bytes of payload that wait here. */
  queuedBytes = 0;
  onRoom: (() => void) | null = null;

  constructor(parts: CommandQueueParts, clientId: ClientId, events: CommandQueueEvents) {
    this.#parts = parts;
    this.#clientId = clientId;
    this.#events = events;
  }

  /** Takes over `payload`. */
  command(seq: number, command: ClientCommand, payload: Uint8Array | null): void {
    if (payload) this.queuedBytes += payload.length;
    if (payload && command.type === "write" && payload.length >= groupWriteBytesMin) this.#gather({ seq, command, payload });
    else {
      this.#sealLast();
      this.#items.push({ kind: "command", seq, command, payload });
    }
    this.#work();
  }

  /** Runs `answer` when everything that came before has been applied. */
  request(answer: () => void): void {
    if (this.#items.length === 0 && !this.#working) return answer();
    this.#sealLast();
    this.#items.push({ kind: "request", answer });
    this.#work();
  }

  #gather(write: PayloadWrite): void {
    const last = this.#items.at(-1);
    if (last?.kind === "group" && !last.stored && last.bytes + write.payload.length <= this.#parts.writer.rawBytesMax) {
      last.writes.push(write);
      last.bytes += write.payload.length;
    } else {
      this.#sealLast();
      this.#items.push({ kind: "group", writes: [write], bytes: write.payload.length, stored: null });
    }
    const group = this.#items.at(-1) as Group;
    if (group.bytes >= this.#parts.writer.rawBytesMax) this.#seal(group);
  }

  #sealLast(): void {
    const last = this.#items.at(-1);
    if (last?.kind === "group") this.#seal(last);
  }

  /** Begins to store a group. Its turn has come (`isTurn`): then it does not wait for those behind it. */
  #seal(group: Group, isTurn = false): void {
    if (group.stored || group.bytes < groupBytesMin || (!isTurn && this.#groupsInFlight >= groupsInFlightMax)) return;
    this.#groupsInFlight++;
    group.stored = this.#store(group).finally(() => {
      this.#groupsInFlight--;
    });
    // Awaited when the group's turn comes; until then a failure must not count as unhandled.
    group.stored.catch(() => undefined);
  }

  /** Refused without a trace on the drives when they are full up to the reserve. */
  async #store(group: Group): Promise<StoredSegment> {
    const { capacity, writer } = this.#parts;
    if (!group.writes.every(({ command }) => this.#hasRoom(command))) throw fullError();
    capacity.spend(group.bytes);
    return writer.write(piecesOf(group));
  }

  /** While there is any, or where space was set aside for the whole write. */
  #hasRoom({ ino, offsetBytes, lengthBytes }: Write): boolean {
    const { capacity, state } = this.#parts;
    return capacity.availableBytes > 0 || promisedBytes(state.content, ino, offsetBytes, lengthBytes) === lengthBytes;
  }

  #work(): void {
    if (this.#working || this.#isClosed) return;
    this.#working = this.#run()
      .catch((reason: unknown) => this.#events.onFailed(CfsError.from(reason)))
      .finally(() => {
        this.#working = null;
        if (this.#items.length > 0) this.#work();
      });
  }

  async #run(): Promise<void> {
    // One turn of the loop first, so that what came together is gathered before it is worked on.
    await Promise.resolve();
    for (let item = this.#items[0]; item && !this.#isClosed; item = this.#items[0]) {
      const room = this.#parts.log.whenRoom();
      if (room) {
        await room;
        // Closed meanwhile: the client may have come back elsewhere and send this again, so it must not be proposed here too.
        if (this.#isClosed) return;
      }
      if (item.kind === "group") await this.#runGroup(item);
      else if (item.kind === "command" && isDivisible(item.command)) {
        const rest = await this.#runSteps(item.command);
        if (this.#isClosed) return;
        this.#items.shift();
        this.#propose(item.seq, rest, item.payload);
      } else {
        this.#items.shift();
        if (item.kind === "request") item.answer();
        else this.#propose(item.seq, item.command, item.payload);
      }
    }
  }

  /** Does what is too much for one turn before the command itself; returns what is left of it. Its number is used by the last step only. */
  async #runSteps(command: ClientCommand): Promise<ClientCommand> {
    const { state, driver } = this.#parts;
    const steps = stepsOf(state, command);
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done) {
        if (this.#isClosed) this.#endTruncate(command);
        return step.value;
      }
      const { place, outcome } = driver.propose({ command: step.value, clientId: null, seq: 0, payload: [] });
      // The command itself will fail in the same way, and its sender hears of it.
      if (outcome.errno !== 0) {
        this.#forgetTruncate(command);
        return command;
      }
      await driver.durable(place.index);
      // A truncate that has begun is ended, though its sender is gone.
      if (this.#isClosed && command.type !== "setAttributes") return command;
    }
  }

  #endTruncate(command: ClientCommand): void {
    const { state, driver } = this.#parts;
    if (command.type !== "setAttributes" || command.sizeBytes === null || state.content.truncation(command.ino) !== command.sizeBytes)
      return;
    driver.propose({ command: truncateOnly(command, command.sizeBytes), clientId: null, seq: 0, payload: [] });
  }

  #forgetTruncate(command: ClientCommand): void {
    if (command.type !== "setAttributes") return;
    const { ino } = command;
    this.#parts.driver.propose({ command: { type: "intendTruncate", ino, sizeBytes: null }, clientId: null, seq: 0, payload: [] });
  }

  async #runGroup(group: Group): Promise<void> {
    this.#seal(group, true);
    this.#items.shift();
    if (!group.stored) {
      for (const { seq, command, payload } of group.writes) this.#propose(seq, command, payload);
      return;
    }
    let stored: StoredSegment;
    try {
      stored = await group.stored;
    } catch (reason) {
      await this.#runSingly(group, CfsError.from(reason));
      return;
    }
    if (this.#isClosed) {
      // The client is gone or came back elsewhere and sends these again: proposing them now could do so twice.
      for (const { payload } of group.writes) this.#giveBack(payload);
      return;
    }
    this.#proposeGroup(group, stored);
  }

  /** A group that could not be stored whole, because drives failed meanwhile and the rest stores less at a time: write by write. */
  async #runSingly(group: Group, error: CfsError): Promise<void> {
    for (const write of group.writes) {
      const single: Group = { kind: "group", writes: [write], bytes: write.payload.length, stored: null };
      let stored: StoredSegment | null = null;
      let failure = error;
      try {
        if (!this.#isClosed && group.writes.length > 1) stored = await this.#store(single);
      } catch (reason) {
        failure = CfsError.from(reason);
      }
      if (this.#isClosed) this.#giveBack(write.payload);
      else if (stored) this.#proposeGroup(single, stored);
      else this.#reject(write.seq, write.command, write.payload, failure);
    }
  }

  #proposeGroup(group: Group, stored: StoredSegment): void {
    const writes = group.writes.map(({ command }, index): Write => ({
      ...command,
      source: { kind: "extents", extents: stored.extents[index] ?? [] },
    }));
    const lastSeq = (group.writes.at(-1) as PayloadWrite).seq;
    for (const { payload } of group.writes) this.#giveBack(payload);
    const { place, outcome } = this.#parts.driver.propose({
      command: { type: "writeSegment", segment: stored.segment, writes },
      clientId: this.#clientId,
      seq: lastSeq,
      payload: [],
    });
    this.#undurable.push({ index: place.index, seq: lastSeq });
    if (outcome.errno === 0) return;
    const error = CfsError.fromErrno(outcome.errno, `segment ${stored.segment.id} was refused`);
    for (const { seq, command } of group.writes) this.#events.onRejected(seq, command, error);
  }

  #propose(seq: number, command: ClientCommand, payload: Uint8Array | null): void {
    const { capacity } = this.#parts;
    if (payload && !this.#hasRoom(command as Write)) return this.#reject(seq, command, payload, fullError());
    if (payload) capacity.spend(payload.length);
    const { place, outcome } = this.#logged(seq, command, payload);
    this.#undurable.push({ index: place.index, seq });
    if (payload) {
      const { ino, offsetBytes, lengthBytes } = command as Write;
      if (outcome.errno === 0) this.#parts.packQueue.add({ ino, offsetBytes, lengthBytes, ...place });
    }
    if (command.type === "copyRange" && outcome.errno === 0) this.#queueCopied(command);
    if (outcome.errno !== 0)
      this.#events.onRejected(seq, command, CfsError.fromErrno(outcome.errno, `${command.type} failed on the server`));
  }

  /** What the copy shares of the journal has to be packed for its place too, or the file of the journal would stay for it. */
  #queueCopied({ target, targetOffsetBytes, lengthBytes }: CopyRange): void {
    const { state, packQueue } = this.#parts;
    const inode = state.inode(target);
    if (inode !== null) packQueue.addPlaced(target, locate(state.content, inode, targetOffsetBytes, lengthBytes));
  }

  /** The journal copies the payload, or refuses the command: either way its memory is free again. */
  #logged(seq: number, command: ClientCommand, payload: Uint8Array | null): Proposed {
    try {
      return this.#parts.driver.propose({ command, clientId: this.#clientId, seq, payload: payload ? [payload] : [] });
    } finally {
      if (payload) this.#giveBack(payload);
    }
  }

  #reject(seq: number, command: ClientCommand, payload: Uint8Array | null, error: CfsError): void {
    if (payload) this.#giveBack(payload);
    this.#undurable.push({ index: this.#parts.driver.appliedIndex, seq });
    this.#events.onRejected(seq, command, error);
    if (this.#parts.driver.durableIndex >= this.#parts.driver.appliedIndex) this.advance(this.#parts.driver.durableIndex);
  }

  #giveBack(payload: Uint8Array): void {
    this.queuedBytes -= payload.length;
    givePayload(this.#parts.pool, payload);
    this.onRoom?.();
  }

  /** The log is durable up to `index`. */
  advance(index: number): void {
    let seq = 0;
    let done = 0;
    while (done < this.#undurable.length && (this.#undurable[done] as Undurable).index <= index) {
      const item = this.#undurable[done++] as Undurable;
      seq = Math.max(seq, item.seq);
    }
    if (done === 0) return;
    this.#undurable.splice(0, done);
    this.#events.onDurable(seq);
  }

  /** Stops; what was not proposed is dropped (the client sends it again), what was is waited for. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#working;
    for (const item of this.#items.splice(0)) {
      if (item.kind === "group") {
        await item.stored?.catch(() => undefined);
        for (const { payload } of item.writes) this.#giveBack(payload);
      } else if (item.kind === "command" && item.payload) this.#giveBack(item.payload);
    }
    const { driver } = this.#parts;
    // A broken log ends the node; the client sends what it did not hear of to the next one.
    await driver.durable(driver.appliedIndex).catch(() => undefined);
    this.advance(driver.durableIndex);
  }
}

function fullError(): CfsError {
  return new CfsError("NO_SPACE", "the drives are full up to the reserve; delete files or add a drive");
}

function piecesOf(group: Group): Piece[] {
  return group.writes.map(({ command, payload }) => ({
    views: [payload],
    lengthBytes: payload.length,
    ino: command.ino,
    offsetBytes: command.offsetBytes,
  }));
}
