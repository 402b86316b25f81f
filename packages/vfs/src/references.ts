/**
 * Who still needs an inode: lookups that the kernel holds, and open handles. When an unlinked inode has neither, it is reaped.
 */
import type { InodeNumber } from "@cfs/core";
import type { CommandRunner } from "./command-runner.ts";
import { CountTable } from "./count-table.ts";
import type { PartialState } from "./partial-state.ts";

export class References {
  readonly #state: PartialState;
  readonly #commands: CommandRunner;
  readonly #lookups: CountTable = new CountTable();
  readonly #open: Map<InodeNumber, number> = new Map();

  constructor(parts: { readonly state: PartialState; readonly commands: CommandRunner }) {
    this.#state = parts.state;
    this.#commands = parts.commands;
    this.#commands.onOrphans = (orphans) => {
      for (const ino of orphans) this.#reapIfUnused(ino);
    };
  }

  /** Inodes that the kernel knows. */
  get lookedUpCount(): number {
    return this.#lookups.size;
  }

  lookedUp(): readonly InodeNumber[] {
    return this.#lookups.keys() as InodeNumber[];
  }

  addLookup(ino: InodeNumber): void {
    this.#lookups.add(ino, 1);
  }

  forget(ino: InodeNumber, count: number): void {
    if (this.#lookups.subtract(ino, count) === 0) this.#reapIfUnused(ino);
  }

  addOpen(ino: InodeNumber): void {
    this.#open.set(ino, (this.#open.get(ino) ?? 0) + 1);
  }

  removeOpen(ino: InodeNumber): void {
    const left = (this.#open.get(ino) ?? 0) - 1;
    if (left > 0) {
      this.#open.set(ino, left);
      return;
    }
    this.#open.delete(ino);
    this.#reapIfUnused(ino);
  }

  isOpen(ino: InodeNumber): boolean {
    return this.#open.has(ino);
  }

  /** At the end of the session: nobody needs anything any more. */
  reapAll(): void {
    for (const ino of [...this.#state.orphans]) this.#commands.reap(ino);
  }

  #reapIfUnused(ino: InodeNumber): void {
    if (this.#state.orphans.size === 0 || !this.#state.orphans.has(ino)) return;
    if (this.#open.has(ino) || this.#lookups.get(ino) > 0) return;
    this.#commands.reap(ino);
  }
}
