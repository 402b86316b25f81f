/**
 * The drives of a node while it runs: which are in service, which failed, which leave; adding, removing and replacing them.
 *
 * A drive serves three things: fragments, copies of the journal, and copies of the state. Whatever happens to it is told to all three here.
 * Invariants: a drive takes data only after the log has it in the table; it leaves the table only after nothing names it, unless it is lost.
 * Changes are made one after the other.
 */
import { assert, CfsError } from "@cfs/core";
import type { Clock, ClusterId, Logger, NodeId, Random } from "@cfs/core";
import type { DriveRecord } from "@cfs/metadata";
import type { Drive as ShownDrive } from "@cfs/rpc";
import { checkNew, Containers, Drive, layoutFor, readIdentity } from "@cfs/storage";
import type { DriveParts, Io, MirroredKv } from "@cfs/storage";
import { resolve as resolvePath } from "node:path";
import type { MoveDetails } from "../admin/details.ts";
import type { Engine } from "../engine/engine.ts";
import { commitOwn } from "../engine/own-command.ts";
import { readBook, writeBook } from "./drive-book.ts";
import type { BookEntry, DriveBook } from "./drive-book.ts";
import { DriveMove } from "./drive-move.ts";
import { memberNamed, missingMember, newMember, shownState } from "./drive-record.ts";
import type { Member } from "./drive-record.ts";
import { DriveWatch } from "./drive-watch.ts";
import { mustBeFit, mustBeOutsideCfs } from "../new-drives.ts";

export interface DriveSetParts {
  readonly engine: Pick<Engine, "state" | "driver" | "segments" | "journal" | "repairer" | "capacity" | "onDriveFailed">;
  readonly store: Pick<MirroredKv, "directories" | "resynced" | "addMember" | "dropMember">;
  readonly io: Io;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Drives that are open; this set adds to it and takes from it, and whoever measures capacity looks at it. */
  readonly open: Drive[];
  readonly clusterId: ClusterId;
  readonly nodeId: NodeId;
  /** Why a drive that was named could not be opened, by path. */
  readonly unusable: readonly { readonly path: string; readonly reason: string }[];
}

export interface DrivePresence {
  /** In service. */
  readonly count: number;
  /** Of this node and not there: where they were last seen, or their ids. */
  readonly missing: readonly string[];
}

/** Copies of the state, each on a drive of its own. */
const stateCopies = 3;
/** A drive on which the state failed so often gets no copy of it until the next start. */
const stateFailuresMax = 3;

export class DriveSet {
  readonly #parts: DriveSetParts;
  readonly #members: Member[] = [];
  readonly #moves: DriveMove[] = [];
  readonly #watch: DriveWatch;
  #removed: BookEntry[] = [];
  #bookSequence = 0;
  #turn: Promise<void> = Promise.resolve();
  #refilling: Promise<void> = Promise.resolve();
  readonly #background: Set<Promise<void>> = new Set();
  /** By directory of the state. */
  readonly #stateFailures = new Map<string, number>();
  #isClosed = false;

  private constructor(parts: DriveSetParts) {
    this.#parts = parts;
    this.#watch = new DriveWatch({
      ...parts,
      drives: () => [...parts.open],
      onFailed: (drive, reason) => this.fail(drive.driveId, reason),
    });
  }

  static async open(parts: DriveSetParts): Promise<DriveSet> {
    const set = new DriveSet(parts);
    const book = await set.#readTable();
    set.#listen();
    // Where it says the same as before, the start does not wait until every drive has it again.
    if (JSON.stringify(book?.drives) === JSON.stringify(set.#bookEntries())) {
      set.#inBackground("writing the list of drives", () => set.#writeBook());
    } else await set.#writeBook();
    set.#watch.start();
    return set;
  }

  async #readTable(): Promise<DriveBook | null> {
    const { engine, open, nodeId, unusable } = this.#parts;
    const book = await readBook(
      open.map(({ path }) => path),
      nodeId,
    );
    this.#bookSequence = book?.sequence ?? 0;
    this.#removed = (book?.drives ?? []).filter(({ state }) => state === "removed");
    for (const record of engine.state.content.superblock()?.drives ?? []) {
      if (record.state === "removed") continue;
      const drive = open.find(({ driveId }) => driveId === record.id);
      if (drive === undefined) {
        const path = book?.drives.find(({ driveId }) => driveId === record.id)?.path ?? "";
        const reason = unusable.find((one) => one.path === path)?.reason ?? "it was not there when the server started";
        this.#members.push(missingMember(record.index, record.id, path, reason));
        continue;
      }
      const member = newMember(record.index, drive);
      this.#members.push(member);
      if (record.state === "draining") this.#beginLeaving(member, "remove");
    }
    return book;
  }

  #listen(): void {
    const { engine } = this.#parts;
    const { segments } = engine;
    const before = segments.onDamage;
    segments.onDamage = (damage) => {
      const member = this.#members.find(({ index }) => index === damage.segment.places[damage.fragment]?.drive);
      if (member !== undefined && damage.reason.code === "CORRUPT") member.checksumErrors++;
      else if (member !== undefined && damage.reason.code !== "NO_DEVICE") member.readErrors++;
      before?.(damage);
    };
    engine.onDriveFailed = (driveId, reason) => {
      // A drive that leaves is told to the journal by this set itself.
      if (this.#members.find((one) => one.driveId === driveId)?.state === "ok") this.fail(driveId, reason);
    };
    segments.onDriveFailed = (index, reason) => {
      const member = this.#members.find((one) => one.index === index);
      if (member === undefined) return;
      member.writeErrors++;
      // A full drive is passed over; what is on it is as good as before.
      if (reason.code !== "NO_SPACE" && reason.code !== "QUOTA") this.fail(member.driveId, reason);
    };
  }

  /** A fragment on the drive was found wrong by a scrub. */
  noteWrongFragment(index: number): void {
    const member = this.#members.find((one) => one.index === index);
    if (member !== undefined) member.checksumErrors++;
  }

  get members(): readonly Member[] {
    return this.#members;
  }

  get presence(): DrivePresence {
    const missing = this.#members.filter(({ state }) => state === "missing");
    return { count: this.#members.length - missing.length, missing: missing.map(({ driveId, path }) => (path === "" ? driveId : path)) };
  }

  get moves(): readonly MoveDetails[] {
    return this.#moves.map(({ details }) => details);
  }

  list(): ShownDrive[] {
    return this.#members.map((member) => this.#shown(member));
  }

  #shown(member: Member): ShownDrive {
    const space = this.#parts.engine.capacity.report.drives.find(({ drive }) => drive === member.index);
    const { driveId, path, reason, readErrors, writeErrors, checksumErrors } = member;
    const capacityBytes = space?.totalBytes ?? 0;
    return {
      driveId,
      path,
      state: shownState[member.state],
      capacityBytes,
      usedBytes: space === undefined ? 0 : capacityBytes - space.freeBytes,
      reservedBytes: space?.reserveBytes ?? 0,
      readErrors,
      writeErrors,
      checksumErrors,
      reason,
    };
  }

  /** The drive is not used any more: something that counts went wrong with it. Known failures are not told twice. */
  fail(driveId: string, reason: CfsError): void {
    const member = this.#members.find((one) => one.driveId === driveId);
    if (member === undefined || member.drive === null || this.#isClosed) return;
    const message = reason.message.replace(/^[A-Z_]+: /, "");
    this.#parts.logger.error("a drive failed", { drive: driveId, path: member.path, reason: message });
    member.state = "failed";
    member.reason = message;
    this.#takeOut(member, reason);
    this.#inBackground("rebuilding what a failed drive held", async () => {
      await this.#refillState();
      await this.#parts.engine.repairer.addMissing();
      await this.#writeBook();
    });
  }

  /** Out of service for fragments, journal and state at once. */
  #takeOut(member: Member, reason: CfsError): void {
    const { engine, store, open } = this.#parts;
    const { drive } = member;
    if (drive === null) return;
    member.drive = null;
    const at = open.indexOf(drive);
    if (at >= 0) open.splice(at, 1);
    const containers = engine.segments.removeDrive(member.index);
    engine.journal.dropDrive(member.driveId, reason);
    store.dropMember(drive.statePath, reason);
    if (containers !== null) this.#inBackground("closing a drive", () => containers.close());
    drive.close();
  }

  /** A copy of the state could not go on. Its drive may be healthy (the watch finds out): the copy is made anew, there or elsewhere. */
  stateFailed(directory: string): void {
    const failures = (this.#stateFailures.get(directory) ?? 0) + 1;
    this.#stateFailures.set(directory, failures);
    if (!this.#isClosed) this.#inBackground("making a copy of the state anew", () => this.#refillState());
  }

  #refillState(): Promise<void> {
    this.#refilling = this.#refilling.then(() => this.#refillStateOnce());
    return this.#refilling;
  }

  /** The state has as many copies as it should, as long as there are drives for them. */
  async #refillStateOnce(): Promise<void> {
    const { store, open } = this.#parts;
    await store.resynced();
    while (!this.#isClosed && store.directories.length < stateCopies) {
      const drive = open.find(
        (one) =>
          !store.directories.includes(one.statePath) &&
          this.#memberOf(one)?.state === "ok" &&
          (this.#stateFailures.get(one.statePath) ?? 0) < stateFailuresMax,
      );
      if (drive === undefined) return;
      const before = store.directories.length;
      await store.addMember(drive.statePath);
      if (store.directories.length <= before) return;
    }
  }

  #memberOf(drive: Drive): Member | undefined {
    return this.#members.find(({ driveId }) => driveId === drive.driveId);
  }

  /** Takes a directory into service: a new drive in an empty one, or a drive of this node that came back. */
  add(path: string): Promise<ShownDrive> {
    return this.#inTurn(async () => this.#shown(await this.#add(resolvePath(path))));
  }

  async #add(path: string): Promise<Member> {
    const { open, engine, io } = this.#parts;
    if (open.some((drive) => drive.path === path)) throw new CfsError("EXISTS", `${path} is a drive of this server already`);
    const drive = await this.#openOrFormat(path);
    try {
      const index = await this.#enter(drive);
      const containers = await Containers.open(io, { index, directory: path });
      await engine.journal.addDrive({ driveId: drive.driveId, path });
      engine.segments.addDrive(containers);
      const known = this.#members.findIndex(({ driveId }) => driveId === drive.driveId);
      const member = newMember(index, drive);
      if (known >= 0) this.#members[known] = member;
      else this.#members.push(member);
      open.push(drive);
      await engine.capacity.refresh();
      await this.#writeBook();
      this.#parts.logger.info("a drive was added", { drive: drive.driveId, path, index });
      this.#inBackground("filling a new drive", async () => {
        await this.#refillState();
        await engine.repairer.addMissing();
      });
      return member;
    } catch (reason) {
      drive.close();
      throw reason;
    }
  }

  async #openOrFormat(path: string): Promise<Drive> {
    const { io, clock, random, clusterId, nodeId } = this.#parts;
    const parts: DriveParts = { io, clock, random };
    mustBeOutsideCfs([path]);
    const identity = await readIdentity(io, path).catch((reason: unknown) => {
      const { code } = CfsError.from(reason);
      if (code === "NOT_FOUND" || code === "NOT_DIRECTORY") return null;
      throw reason;
    });
    if (identity === null) {
      await checkNew(io, path);
      await mustBeFit([path]);
      return Drive.format(parts, path, { clusterId, nodeId });
    }
    if (this.#table().some(({ id, state }) => id === identity.driveId && state === "removed")) {
      throw new CfsError(
        "EXISTS",
        `${path} is drive ${identity.driveId}, which was removed from this server; empty the directory to use it as a new drive`,
      );
    }
    return Drive.open(parts, path, { clusterId, nodeId });
  }

  #table(): readonly DriveRecord[] {
    return this.#parts.engine.state.content.superblock()?.drives ?? [];
  }

  /** Its index in the table, where it is written down when it is new. */
  async #enter(drive: Drive): Promise<number> {
    const table = this.#table();
    const record = table.find(({ id }) => id === drive.driveId);
    const index = record?.index ?? table.length;
    if (record?.state !== "ok") await this.#setDrive({ index, id: drive.driveId, state: "ok" });
    return index;
  }

  async #setDrive(drive: DriveRecord): Promise<void> {
    const { driver } = this.#parts.engine;
    await commitOwn(driver, { type: "setDrive", drive }, `the table of drives does not take drive ${drive.id} as ${drive.state}`);
  }

  /** Empties the drive and forgets it; with `force`, or when it is lost already, forgets it and rebuilds what it held. Goes on in the background. */
  remove(word: string, force: boolean): Promise<ShownDrive> {
    return this.#inTurn(async () => {
      const member = memberNamed(this.#members, word);
      this.#checkRemoval(member, force);
      await this.#leave(member, "remove", force);
      return this.#shown(member);
    });
  }

  #checkRemoval(member: Member, force: boolean): void {
    const healthy = this.#members.filter(({ state }) => state === "ok").length;
    const left = healthy - (member.state === "ok" ? 1 : 0);
    if (left === 0)
      throw new CfsError("INVALID", `drive ${member.driveId} is the last healthy one; add another first: cfs admin drive add DIR`);
    const layout = layoutFor(healthy, this.#members.length);
    if (layout === null) throw new CfsError("IO", "no drive is healthy");
    const width = layout.k + layout.m;
    if (force && layout.m === 0)
      throw new CfsError("INVALID", `drive ${member.driveId} may hold the only copy of data; remove it without --force`);
    if (!force && left < width) {
      throw new CfsError(
        "INVALID",
        `data is stored ${layout.k}+${layout.m}, which needs ${width} drives, and ${left} would be left; add one first (cfs admin drive add DIR), put one in its place (cfs admin drive replace), or give up redundancy with --force`,
      );
    }
  }

  /**
   * Puts a new drive in the place of another, which is emptied, or rebuilt when it is lost. Goes on in the background. Where the directory holds
   * the very drive that is to be replaced, that drive is back: nothing is lost, and nothing moves.
   */
  replace(word: string, newPath: string): Promise<ShownDrive> {
    return this.#inTurn(async () => {
      const member = memberNamed(this.#members, word);
      const path = resolvePath(newPath);
      if (member.drive !== null && member.path === path) {
        throw new CfsError("INVALID", `${path} is in service as drive ${member.driveId}; name another directory, or take it away first`);
      }
      if (this.#moves.some(({ driveId }) => driveId === member.driveId))
        throw new CfsError("BUSY", `drive ${member.driveId} is being emptied or rebuilt already; see: cfs admin status`);
      const added = await this.#add(path);
      if (added.driveId !== member.driveId) await this.#leave(member, "replace", false);
      return this.#shown(added);
    });
  }

  async #leave(member: Member, kind: MoveDetails["kind"], force: boolean): Promise<void> {
    if (this.#moves.some(({ driveId }) => driveId === member.driveId)) return;
    if (member.drive !== null && !force) {
      await this.#setDrive({ index: member.index, id: member.driveId, state: "draining" });
      this.#beginLeaving(member, kind);
      return;
    }
    const reason = new CfsError("NO_DEVICE", `drive ${member.driveId} was removed`);
    await this.#setDrive({ index: member.index, id: member.driveId, state: "removed" });
    this.#takeOut(member, reason);
    this.#forget(member);
    this.#startMove(member, kind, async () => undefined);
  }

  /** Nothing new goes to the drive; when it is empty it goes. */
  #beginLeaving(member: Member, kind: MoveDetails["kind"]): void {
    const { engine, store } = this.#parts;
    const { drive } = member;
    assert(drive !== null, "a drive that is emptied is in service");
    const reason = new CfsError("NO_DEVICE", `drive ${member.driveId} leaves`);
    member.state = "draining";
    member.reason = "its data is moved to the other drives";
    engine.segments.closeToWrites(member.index);
    engine.journal.dropDrive(member.driveId, reason);
    store.dropMember(drive.statePath, reason);
    this.#startMove(member, kind, async () => {
      await this.#setDrive({ index: member.index, id: member.driveId, state: "removed" });
      this.#takeOut(member, reason);
      this.#forget(member);
    });
  }

  #startMove(member: Member, kind: MoveDetails["kind"], finish: () => Promise<void>): void {
    const { state, repairer } = this.#parts.engine;
    const move = new DriveMove({ state, repairer, clock: this.#parts.clock }, member, kind);
    this.#moves.push(move);
    this.#inBackground("moving fragments off a drive", async () => {
      await this.#refillState();
      try {
        if (!(await move.done)) return;
        await finish();
        this.#parts.logger.info("a drive holds nothing any more", { drive: member.driveId, path: member.path });
      } finally {
        this.#moves.splice(this.#moves.indexOf(move), 1);
      }
      await this.#writeBook();
      await this.#parts.engine.capacity.refresh();
    });
  }

  #forget(member: Member): void {
    const at = this.#members.indexOf(member);
    if (at >= 0) this.#members.splice(at, 1);
    this.#removed.push({ driveId: member.driveId, path: member.path, state: "removed" });
  }

  /** After every change of the members: for the next start, and for the layout of new data. */
  async #writeBook(): Promise<void> {
    const { engine, open, nodeId, logger } = this.#parts;
    engine.segments.memberCount = this.#members.length;
    this.#bookSequence++;
    await writeBook(
      open.map(({ path }) => path),
      { sequence: this.#bookSequence, nodeId, drives: this.#bookEntries() },
      logger,
    );
  }

  #bookEntries(): BookEntry[] {
    return [...this.#members.map(({ driveId, path }): BookEntry => ({ driveId, path, state: "member" })), ...this.#removed];
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(() => {
      if (this.#isClosed) throw new CfsError("UNREACHABLE", "the server is stopping");
      return work();
    });
    this.#turn = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  #inBackground(what: string, work: () => Promise<void>): void {
    const task = work()
      .catch((reason: unknown) => {
        if (!this.#isClosed) this.#parts.logger.error("background work on drives failed", { what, reason: CfsError.from(reason).message });
      })
      .finally(() => this.#background.delete(task));
    this.#background.add(task);
  }

  /** Stops watching and moving; what is under way goes on after the next start. The drives are closed by their owner. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#watch.close();
    await this.#turn;
    await Promise.all(this.#moves.map((move) => move.close()));
    await Promise.all(this.#background);
  }
}
