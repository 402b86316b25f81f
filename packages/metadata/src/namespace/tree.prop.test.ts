/** Random commands on the namespace against a naive tree, on a server and a partial state at once, with restarts in between. */
/* oxlint-disable vitest/no-standalone-expect, vitest/expect-expect -- what is expected stands in the methods that every test calls */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rootInode } from "@cfs/core";
import type { InodeNumber, Name } from "@cfs/core";
import type { Caller, Command } from "./commands.ts";
import { fileKinds } from "./records.ts";
import { listDirectory } from "./state-scans.ts";
import { ModelTree } from "./testing/model-tree.ts";
import { runs } from "./testing/runs.ts";
import { ada, bob, kernelAda, root, tinyCaches, World } from "./testing/world.ts";

type Draw = readonly [number, number, number, number, number, number];

const callers: readonly Caller[] = [root, root, root, root, ada, ada, bob, kernelAda];
const names = ["a", "b", "c", "d", "\u00ff\u0080", "e".repeat(255)] as Name[];
const modes = [0o755, 0o777, 0o777, 0o1777, 0o1777, 0o2775, 0o700, 0o644, 0o6711, 0o070, 0o2010];

function pick<T>(list: readonly T[], draw: number): T {
  return list[draw % list.length] as T;
}

class Game {
  readonly world: World;
  readonly model: ModelTree;
  readonly used: InodeNumber[] = [rootInode];

  constructor(isTiny: boolean) {
    this.world = new World(isTiny ? tinyCaches : {});
    const { ctimeSec: sec, ctimeNsec: nsec } = this.world.inode(rootInode);
    this.model = new ModelTree(rootInode, { sec, nsec });
    const open = { ...this.#attributes(rootInode, root), mode: 0o1777 };
    this.world.must(open);
    this.model.setAttributes(open);
  }

  #directory(draw: number): InodeNumber {
    const directories = [...this.model.nodes.values()].filter((node) => node.kind === "directory");
    // Now and then something that is no directory, or is gone.
    return draw % 16 === 0 ? pick(this.used, draw >>> 4) : pick(directories, draw >>> 4).ino;
  }

  /** Mostly a name that is there. */
  #entry(draw: number): { readonly parent: InodeNumber; readonly name: Name } {
    const full = [...this.model.nodes.values()].filter((node) => node.children.size > 0);
    if (draw % 8 === 0 || full.length === 0) return { parent: this.#directory(draw >>> 3), name: pick(names, draw >>> 7) };
    const node = pick(full, draw >>> 3);
    return { parent: node.ino, name: pick([...node.children.keys()], draw >>> 6) as Name };
  }

  /** Mostly one that is there. */
  #node(draw: number): InodeNumber {
    return draw % 8 === 0 ? pick(this.used, draw >>> 3) : pick([...this.model.nodes.keys()], draw >>> 3);
  }

  #fresh(): InodeNumber {
    const ino = this.world.newInode();
    this.used.push(ino);
    return ino;
  }

  #attributes(ino: InodeNumber, caller: Caller): Command & { type: "setAttributes" } {
    return {
      type: "setAttributes",
      ino,
      mode: null,
      uid: null,
      gid: null,
      sizeBytes: null,
      atime: null,
      mtime: null,
      ctime: null,
      isTouch: false,
      killSetId: false,
      caller,
      time: this.world.time(),
    };
  }

  play([what, who, a, b, c, d]: Draw): void {
    const { world, model } = this;
    const caller = pick(callers, who);
    const time = world.time();
    switch (what % 10) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const kind = what % 10 < 2 ? "directory" : pick(fileKinds, c);
        const isUnnamed = kind === "file" && d % 8 === 0;
        const target = kind === "symlink" ? new Uint8Array([97]) : null;
        const command: Command = {
          type: "makeNode",
          parent: this.#directory(a),
          name: isUnnamed ? null : pick(names, b),
          ino: this.#fresh(),
          kind,
          mode: pick(modes, c),
          umask: pick([0o022, 0, 0o077], d),
          rdev: c % 2 === 0 ? 0 : 259,
          target,
          caller,
          time,
        };
        return this.#both(command, model.makeNode(command));
      }
      case 4: {
        const command: Command = { type: "link", ino: this.#node(a), parent: this.#directory(b), name: pick(names, c), caller, time };
        return this.#both(command, model.link(command));
      }
      case 5: {
        const command: Command = { type: "unlink", ...this.#entry(a), directory: c % 2 === 0, caller, time };
        return this.#both(command, model.unlink(command));
      }
      case 6:
      case 7: {
        const to = b % 2 === 0 ? this.#entry(c) : { parent: this.#directory(c), name: pick(names, d) };
        const flags = pick([0, 0, 0, 0, 1, 2, 2, 4, 4, 5, 3, 6, 8], who + what);
        const command: Command = {
          type: "rename",
          ...this.#entry(a),
          newParent: to.parent,
          newName: to.name,
          flags,
          whiteout: (flags & 4) === 0 ? 0 : this.#fresh(),
          caller,
          time,
        };
        return this.#both(command, model.rename(command));
      }
      case 8: {
        const command: Command = {
          ...this.#attributes(this.#node(a), caller),
          mode: b % 2 === 0 ? pick(modes, c) : null,
          uid: b % 3 === 0 ? pick([0, 1000, 1001], d) : null,
          gid: b % 5 === 0 ? pick([0, 100, 200, 300], d) : null,
          mtime: b % 7 === 0 ? { sec: -5, nsec: 7 } : null,
          isTouch: d % 2 === 0,
          killSetId: d % 7 === 0,
        };
        return this.#both(command, model.setAttributes(command));
      }
      default: {
        const ino = this.#node(a);
        if (ino === rootInode || b % 2 === 0) return undefined;
        const command: Command = { type: "reap", ino };
        return this.#both(command, model.reap(ino));
      }
    }
  }

  #both(command: Command, expected: number): void {
    expect(this.world.run(command), JSON.stringify(command)).toBe(expected);
  }

  compare(): void {
    const { server } = this.world;
    for (const ino of this.used) {
      const node = this.model.nodes.get(ino);
      const inode = server.inode(ino);
      if (node === undefined) {
        expect(inode, `inode ${ino}`).toBeNull();
        continue;
      }
      const seen =
        inode === null
          ? null
          : {
              kind: inode.kind,
              mode: inode.mode.toString(8),
              uid: inode.uid,
              gid: inode.gid,
              nlink: inode.nlink,
              entryCount: inode.entryCount,
              mtime: { sec: inode.mtimeSec, nsec: inode.mtimeNsec },
              ctime: { sec: inode.ctimeSec, nsec: inode.ctimeNsec },
              isOrphan: server.orphan(ino) !== null,
            };
      expect(seen, `inode ${ino}`).toEqual({
        kind: node.kind,
        mode: node.mode.toString(8),
        uid: node.uid,
        gid: node.gid,
        nlink: this.model.linkCount(node),
        entryCount: node.children.size,
        mtime: node.mtime,
        ctime: node.ctime,
        isOrphan: node.isRemoved,
      });
      if (node.kind === "directory" && !node.isRemoved) expect(inode?.parent, `parent of ${ino}`).toBe(node.parent?.ino);
    }
    this.world.compareClient();
  }

  async compareListings(limit: number): Promise<void> {
    for (const node of this.model.nodes.values()) {
      if (node.kind !== "directory") continue;
      const found = new Map<string, number>();
      for (let cookie = 0; ;) {
        const page = await listDirectory(this.world.server, node.ino, cookie, limit);
        for (const entry of page) found.set(entry.name, entry.ino);
        if (page.length < limit) break;
        cookie = page.at(-1)?.cookie ?? 0;
      }
      expect(found).toEqual(new Map([...node.children].map(([name, child]) => [name, child.ino])));
    }
  }
}

const number = fc.nat(0xffff);
const draws = fc.array(fc.tuple(number, number, number, number, number, number), { minLength: 1, maxLength: 150, size: "max" });

describe("the namespace and a naive tree", () => {
  for (const isTiny of [false, true]) {
    test(`agree on every outcome and the whole tree${isTiny ? ", with caches of two records" : ""}`, async () => {
      await fc.assert(
        fc.asyncProperty(draws, fc.nat(20), fc.integer({ min: 1, max: 4 }), async (moves, restartEvery, limit) => {
          const game = new Game(isTiny);
          let count = 0;
          for (const move of moves) {
            game.play(move);
            count += 1;
            if (restartEvery > 4 && count % restartEvery === 0) game.world.restart();
            if (restartEvery <= 4 && count % 7 === 0) game.world.client.forget();
            if (count % 16 === 0) game.compare();
          }
          game.compare();
          await game.compareListings(limit);
          await game.world.check();
        }),
        { numRuns: runs(150) },
      );
    });
  }
});
