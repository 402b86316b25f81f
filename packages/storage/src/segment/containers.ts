/**
 * The containers of one drive: append-only files that hold fragments one after another.
 *
 *   DRIVE/segments/c00000001.cfs   | header page + payload | header page + payload | … | unused, preallocated |
 *
 * Fragments start at multiples of 4096 and are self-describing (fragment-format.ts). A place is never used twice: a deleted fragment is
 * punched out, which gives its space back to the drive's file system, and the file goes when the server finds it empty at start.
 * So there is no allocator whose state could disagree with the metadata. After a restart a new container is begun, because what the last one
 * holds behind its last known fragment is not known; its unused tail is given back.
 */
import { CfsError, assert } from "@cfs/core";
import type { FragmentPlace } from "@cfs/metadata";
import type { Io, IoFile } from "../device/io.ts";

export const containerBytes: number = 64 << 20;
/** A drive with little room gets smaller ones, down to this, so that what is set aside stays a small part of what is free. */
const containerBytesMin: number = 4 << 20;
const freeShareMax = 1 / 16;
const pageBytes = 4096;
/** Open files of one drive: reads spread over old containers. */
const openFilesMax = 64;

export interface ContainerDrive {
  /** Index in the superblock's drive table. */
  readonly index: number;
  /** The --data directory. */
  readonly directory: string;
}

interface Current {
  readonly number: number;
  readonly file: IoFile;
  readonly sizeBytes: number;
  usedBytes: number;
}

export function containerName(number: number): string {
  return `c${String(number).padStart(8, "0")}.cfs`;
}

export class Containers {
  readonly drive: ContainerDrive;
  readonly #io: Io;
  readonly #directory: string;
  #nextNumber: number;
  #current: Current | null = null;
  #allocating: Promise<void> = Promise.resolve();
  /** Insertion order is use order: the first is the least recently used. */
  readonly #files = new Map<number, Promise<IoFile>>();
  readonly #users = new Map<number, number>();
  /** One sync serves all writes that completed before it began. */
  #syncing: Promise<void> | null = null;
  #nextSync: Promise<void> | null = null;
  #unsynced = new Set<number>();

  private constructor(io: Io, drive: ContainerDrive, nextNumber: number) {
    this.#io = io;
    this.drive = drive;
    this.#directory = `${drive.directory}/segments`;
    this.#nextNumber = nextNumber;
  }

  static async open(io: Io, drive: ContainerDrive): Promise<Containers> {
    const directory = `${drive.directory}/segments`;
    await io.makeDirectory(directory);
    return new Containers(io, drive, Math.max(0, ...(await listContainers(io, directory))) + 1);
  }

  /** The numbers of the containers on the drive. */
  list(): Promise<number[]> {
    return listContainers(this.#io, this.#directory);
  }

  /** The number of the first container of this run: those below are from before. */
  get firstOfThisRun(): number {
    return this.#firstOfThisRun;
  }
  #firstOfThisRun = 0;

  /** Set aside on the drive for fragments that are still to come. */
  get unusedBytes(): number {
    return this.#current === null ? 0 : this.#current.sizeBytes - this.#current.usedBytes;
  }

  /** The next free place for `sizeBytes` bytes (a multiple of 4096, at most a container). Places are handed out in order. */
  async allocate(sizeBytes: number): Promise<FragmentPlace> {
    assert(sizeBytes % pageBytes === 0 && sizeBytes > 0 && sizeBytes <= containerBytes, "a fragment fits a container");
    const previous = this.#allocating;
    let place: FragmentPlace | null = null;
    const turn = previous.then(async () => {
      if (!this.#current || this.#current.usedBytes + sizeBytes > this.#current.sizeBytes) await this.#begin(sizeBytes);
      const current = this.#current as unknown as Current;
      place = { drive: this.drive.index, container: current.number, offsetBytes: current.usedBytes };
      current.usedBytes += sizeBytes;
    });
    this.#allocating = turn.catch(() => undefined);
    await turn;
    return place as unknown as FragmentPlace;
  }

  async #begin(neededBytes: number): Promise<void> {
    const number = this.#nextNumber++;
    if (this.#firstOfThisRun === 0) this.#firstOfThisRun = number;
    const path = `${this.#directory}/${containerName(number)}`;
    const file = await this.#io.open(path, { direct: true, dataSync: false, create: true, exclusive: true, readOnly: false });
    let sizeBytes = 0;
    try {
      sizeBytes = await this.#preallocate(file, neededBytes);
      await this.#io.syncDirectory(this.#directory);
    } catch (reason) {
      await this.#io.close(file);
      await this.#io.unlink(path);
      throw reason;
    }
    const last = this.#current;
    this.#current = { number, file, sizeBytes, usedBytes: 0 };
    this.#files.set(number, Promise.resolve(file));
    if (last) await this.#giveBackTail(last);
  }

  /** Reserves a part of what the drive has free, at most a whole container; NO_SPACE when not even `neededBytes` fit. */
  async #preallocate(file: IoFile, neededBytes: number): Promise<number> {
    const leastBytes = Math.max(neededBytes, containerBytesMin);
    const shareBytes = (await this.#io.freeBytes(this.#directory)) * freeShareMax;
    let sizeBytes = containerBytes;
    while (sizeBytes > shareBytes && sizeBytes > leastBytes) sizeBytes = Math.max(leastBytes, sizeBytes / 2);
    for (; ; sizeBytes = Math.max(leastBytes, sizeBytes / 2)) {
      try {
        await this.#io.allocate(file, 0, sizeBytes);
        return sizeBytes;
      } catch (reason) {
        if (CfsError.from(reason).code !== "NO_SPACE" || sizeBytes === leastBytes) throw reason;
        // What was reserved before the drive was full goes back.
        await this.#io.truncate(file, 0);
      }
    }
  }

  /** The preallocated rest of a full container goes back to the drive's file system. */
  async #giveBackTail(full: Current): Promise<void> {
    if (full.usedBytes < full.sizeBytes) await this.#io.truncate(full.file, full.usedBytes);
  }

  async write(place: FragmentPlace, bytes: Uint8Array): Promise<void> {
    await this.#use(place.container, (file) => this.#io.write(file, [bytes], place.offsetBytes));
    this.#unsynced.add(place.container);
  }

  /** Reads `target.length` bytes at `offsetBytes` of the fragment's place; a short read is CORRUPT. */
  async read(place: FragmentPlace, offsetBytes: number, target: Uint8Array): Promise<void> {
    const count = await this.#use(place.container, (file) => this.#io.read(file, target, place.offsetBytes + offsetBytes));
    if (count < target.length) {
      throw new CfsError(
        "CORRUPT",
        `${this.#directory}/${containerName(place.container)} ends at ${place.offsetBytes + offsetBytes + count}, inside a fragment`,
      );
    }
  }

  /** Gives the space of a fragment back. Harmless when it is gone already. */
  async free(place: FragmentPlace, sizeBytes: number): Promise<void> {
    try {
      await this.#use(place.container, (file) => this.#io.punch(file, place.offsetBytes, sizeBytes));
    } catch (reason) {
      if (CfsError.from(reason).code !== "NOT_FOUND") throw reason;
    }
  }

  /** Resolves when every write that completed before the call is on stable storage. */
  sync(): Promise<void> {
    if (!this.#syncing) {
      this.#syncing = this.#syncOnce().finally(() => {
        this.#syncing = null;
      });
      return this.#syncing;
    }
    this.#nextSync ??= this.#syncing
      .catch(() => undefined)
      .then(() => {
        this.#nextSync = null;
        return this.sync();
      });
    return this.#nextSync;
  }

  async #syncOnce(): Promise<void> {
    const containers = [...this.#unsynced];
    this.#unsynced = new Set();
    try {
      await Promise.all(containers.map((container) => this.#use(container, (file) => this.#io.syncData(file))));
    } catch (reason) {
      // After a failed sync the kernel may have dropped the pages: the drive cannot be trusted, the caller declares it failed.
      throw CfsError.from(reason);
    }
  }

  async #use<T>(container: number, action: (file: IoFile) => Promise<T>): Promise<T> {
    this.#users.set(container, (this.#users.get(container) ?? 0) + 1);
    try {
      return await action(await this.#file(container));
    } finally {
      const users = (this.#users.get(container) ?? 1) - 1;
      if (users === 0) this.#users.delete(container);
      else this.#users.set(container, users);
    }
  }

  #file(container: number): Promise<IoFile> {
    const known = this.#files.get(container);
    if (known) {
      if (this.#files.size > openFilesMax / 2) {
        this.#files.delete(container);
        this.#files.set(container, known);
      }
      return known;
    }
    const opened = this.#io.open(`${this.#directory}/${containerName(container)}`, {
      direct: true,
      dataSync: false,
      create: false,
      exclusive: false,
      readOnly: false,
    });
    this.#files.set(container, opened);
    opened.catch(() => this.#files.delete(container));
    if (this.#files.size > openFilesMax) this.#evict();
    return opened;
  }

  #evict(): void {
    for (const [container, file] of this.#files) {
      if (this.#users.has(container) || container === this.#current?.number || this.#unsynced.has(container)) continue;
      this.#files.delete(container);
      void file.then((open) => this.#io.close(open)).catch(() => undefined);
      if (this.#files.size <= openFilesMax / 2) return;
    }
  }

  /** Cuts a container of an earlier run to `usedBytes`, or removes it when nothing in it is used. */
  async trim(container: number, usedBytes: number): Promise<void> {
    assert(container < this.#firstOfThisRun || this.#current?.number !== container, "the container in use is not trimmed");
    if (usedBytes > 0) {
      await this.#use(container, (file) => this.#io.truncate(file, usedBytes));
      return;
    }
    const file = this.#files.get(container);
    this.#files.delete(container);
    if (file) await this.#io.close(await file);
    await this.#io.unlink(`${this.#directory}/${containerName(container)}`);
  }

  async close(): Promise<void> {
    await this.#allocating;
    if (this.#current) await this.#giveBackTail(this.#current).catch(() => undefined);
    this.#current = null;
    const files = [...this.#files.values()];
    this.#files.clear();
    for (const file of files) {
      try {
        await this.#io.close(await file);
      } catch (reason) {
        // A container on a drive that failed: nothing is left to lose by not closing it.
        if (!(reason instanceof CfsError)) throw reason;
      }
    }
  }
}

async function listContainers(io: Io, directory: string): Promise<number[]> {
  const numbers: number[] = [];
  for (const name of await io.list(directory)) {
    const match = /^c(\d{8})\.cfs$/.exec(name);
    if (match) numbers.push(Number(match[1]));
  }
  return numbers.sort((a, b) => a - b);
}
