/**
 * What the cached vfs costs per operation: CPU of this process, over a sink that acknowledges everything (the client alone), and
 * over the memory server (client, command codec and server state machine together).
 *
 * Run: node --conditions=cfs-source packages/testkit/src/vfs/cached-vfs.bench.ts [count]
 */
import { rootInode, silentLogger } from "@cfs/core";
import type { Clock, InodeNumber, Name } from "@cfs/core";
import type { Inode } from "@cfs/metadata";
import { CachedVfs } from "@cfs/vfs";
import type { Awaitable, Caller, Remote, RemoteListener } from "@cfs/vfs";
import { MemoryServer } from "../memory-server.ts";

const count = Number(process.argv[2] ?? 50_000);
const caller: Caller = { uid: 0, gid: 0, pid: 1, groups: null };
const clock: Clock = {
  wallTime: () => {
    const ms = Date.now();
    return { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1e6 };
  },
  monotonicMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Takes commands, acknowledges them 256 at a time, and knows one empty directory. */
class SinkRemote implements Remote {
  listener: RemoteListener | null = null;
  #next = 2;
  #unacknowledged: (() => void)[] = [];
  #seq = 0;

  submit(seq: number, _command: unknown, _payload: readonly Uint8Array[], release: (() => void) | null): void {
    this.#seq = seq;
    if (release !== null) this.#unacknowledged.push(release);
    if (seq % 256 === 0) queueMicrotask(() => this.acknowledge());
  }

  /** Everything goes out at once here. */
  hurry(): void {}

  acknowledge(): void {
    for (const release of this.#unacknowledged) release();
    this.#unacknowledged = [];
    this.listener?.onProgress({ durableSeq: this.#seq, availableBytes: 2 ** 45 });
  }

  async takeGrant(): Promise<{ begin: number; end: number }> {
    const begin = this.#next;
    this.#next += 100_000;
    return { begin, end: this.#next };
  }

  async fetchInode(ino: InodeNumber): Promise<Inode | null> {
    return {
      ino,
      generation: 1,
      kind: "directory",
      mode: 0o755,
      uid: 0,
      gid: 0,
      nlink: 2,
      rdev: 0,
      sizeBytes: 0,
      allocatedBytes: 0,
      isAllocatedStale: false,
      atimeSec: 1,
      atimeNsec: 0,
      mtimeSec: 1,
      mtimeNsec: 0,
      ctimeSec: 1,
      ctimeNsec: 0,
      birthSec: 1,
      birthNsec: 0,
      parent: rootInode,
      entryCount: 0,
      target: null,
      inlineBytes: 0,
      inline: null,
      hasExtents: false,
      xattrNames: [],
    };
  }

  fetchDirent(): Promise<never> {
    throw new Error("the sink has no names");
  }

  fetchDirectory(): Promise<never> {
    throw new Error("the sink has no names");
  }

  async fetchXattr(): Promise<null> {
    return null;
  }

  read(): Promise<never> {
    throw new Error("the sink has no content");
  }

  seek(): Promise<never> {
    throw new Error("the sink has no content");
  }

  promisedBytes(): Promise<never> {
    throw new Error("the sink has no content");
  }

  statistics(): Promise<never> {
    throw new Error("the sink has no statistics");
  }
}

async function measure(what: string, operations: number, body: (index: number) => Awaitable<unknown>): Promise<void> {
  const cpu = process.cpuUsage();
  const begin = performance.now();
  let waits = 0;
  for (let at = 0; at < operations; at++) {
    const result = body(at);
    if (result instanceof Promise) {
      await result;
      waits++;
    } else if (at % 64 === 0) {
      await Promise.resolve();
    }
  }
  const { user, system } = process.cpuUsage(cpu);
  const perSecond = Math.round(operations / ((performance.now() - begin) / 1000));
  console.log(
    `${what.padEnd(34)} ${String(perSecond).padStart(9)}/s ${((user + system) / operations).toFixed(2).padStart(8)} µs CPU each, ${waits} waited`,
  );
}

const ignore = (): void => {};

function missing(vfs: CachedVfs, parent: InodeNumber, name: Name): void {
  try {
    const found = vfs.lookup(parent, name, caller);
    if (found instanceof Promise) found.catch(ignore);
  } catch {
    // Expected: there is no such name.
  }
}

async function run(title: string, remote: Remote): Promise<void> {
  console.log(`\n${title}, ${count} files`);
  const vfs = new CachedVfs({ remote, clock, logger: silentLogger });
  const file = { kind: "file", mode: 0o644, umask: 0o022, rdev: 0, target: null } as const;
  const plain = { killSetId: false, fromPageCache: false };
  const data = Buffer.alloc(4096, 7);
  const large = Buffer.alloc(128 * 1024, 7);
  const inos: InodeNumber[] = [];
  const parents: InodeNumber[] = [];
  const parentOf = (at: number): InodeNumber => parents[Math.floor(at / 1000)] as InodeNumber;
  const nameOf = (at: number): Name => `file-${at}` as Name;
  await measure("mkdir", Math.ceil(count / 1000), async (at) => {
    parents.push((await vfs.makeNode(rootInode, `dir-${at}` as Name, { ...file, kind: "directory" }, caller)).attributes.ino);
  });
  await measure("lookup miss, create, write 4 KiB, close", count, (at) => {
    missing(vfs, parentOf(at), nameOf(at));
    const made = vfs.create(parentOf(at), nameOf(at), file, 0o301, caller);
    const finish = ({ entry, file: opened }: Awaited<typeof made>): Awaitable<unknown> => {
      inos.push(entry.attributes.ino);
      const written = vfs.write(opened.handle, 0, data, plain);
      vfs.flush(opened.handle);
      vfs.release(opened.handle);
      return written;
    };
    return made instanceof Promise ? made.then(finish) : finish(made);
  });
  await measure("lookup", count, (at) => vfs.lookup(parentOf(at), nameOf(at), caller));
  await measure("getattr", count, (at) => vfs.getAttributes(inos[at] as InodeNumber));
  await measure("setattr (mode)", count, (at) => vfs.setAttributes(inos[at] as InodeNumber, { mode: 0o600 }, caller));
  await measure("rename", count, (at) => vfs.rename(parentOf(at), nameOf(at), parentOf(at), `moved-${at}` as Name, 0, caller));
  for (const parent of parents) {
    const { handle } = await vfs.openDirectory(parent, 0, caller);
    await vfs.readDirectory(handle, 0, true, () => true);
    vfs.releaseDirectory(handle);
  }
  await measure("readdir with attributes, per entry", parents.length, async (at) => {
    const { handle } = await vfs.openDirectory(parents[at] as InodeNumber, 0, caller);
    await vfs.readDirectory(handle, 0, true, () => true);
    vfs.releaseDirectory(handle);
  });
  await measure("unlink", count, (at) => vfs.unlink(parentOf(at), `moved-${at}` as Name, caller));
  await measure("forget and reap", count, (at) => vfs.forget(inos[at] as InodeNumber, 10));
  const { file: opened } = await vfs.create(rootInode, "large" as Name, file, 0o301, caller);
  await measure("write 128 KiB", 4000, (at) => vfs.write(opened.handle, at * large.length, large, plain));
  await measure("mkdir in one directory", Math.min(count, 20_000), (at) =>
    vfs.makeNode(rootInode, `sub-${at}` as Name, { ...file, kind: "directory" }, caller),
  );
  console.log(`rss ${Math.round(process.memoryUsage().rss / 2 ** 20)} MiB, ${JSON.stringify(vfs.holdings)}`);
}

await run("client alone", new SinkRemote());
await run("client and memory server", new MemoryServer({ grantCount: 100_000 }).connect());
