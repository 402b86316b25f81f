/** A mounted vfs over a memory server, with the few shorthands that its tests share. */
import { rootInode, silentLogger } from "@cfs/core";
import type { InodeNumber, Name } from "@cfs/core";
import { CachedVfs } from "@cfs/vfs";
import type { AttributeChange, CachedVfsSettings, Caller, DirectoryEntry, Entry, NewNode, ReadResult } from "@cfs/vfs";
import { ManualClock } from "../manual-clock.ts";
import type { MemoryRemote } from "../memory-remote.ts";
import { MemoryServer } from "../memory-server.ts";
import type { MemoryServerOptions } from "../memory-server.ts";

export const root: Caller = { uid: 0, gid: 0, pid: 1, groups: null };
export const ada: Caller = { uid: 1000, gid: 100, pid: 2, groups: [100] };
const plain = { killSetId: false, fromPageCache: false };

export const newFile: NewNode = { kind: "file", mode: 0o644, umask: 0, rdev: 0, target: null };
export const newDirectory: NewNode = { kind: "directory", mode: 0o755, umask: 0, rdev: 0, target: null };

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class Mounted {
  readonly server: MemoryServer;
  readonly clock: ManualClock;
  readonly remote: MemoryRemote;
  readonly vfs: CachedVfs;

  constructor(
    options: {
      readonly server?: MemoryServer;
      readonly serverOptions?: Partial<MemoryServerOptions>;
      readonly settings?: CachedVfsSettings;
      readonly clock?: ManualClock;
    } = {},
  ) {
    this.server = options.server ?? new MemoryServer(options.serverOptions);
    this.clock = options.clock ?? new ManualClock({ tickMs: 1 });
    this.remote = this.server.connect();
    this.vfs = new CachedVfs({ remote: this.remote, clock: this.clock, logger: silentLogger }, options.settings);
  }

  /** The same server through a fresh mount. */
  async again(settings: CachedVfsSettings = {}): Promise<Mounted> {
    await this.vfs.close();
    await this.remote.close();
    return new Mounted({ server: this.server, clock: this.clock, settings });
  }

  async make(name: string, node: NewNode = newFile, parent: InodeNumber = rootInode, caller: Caller = root): Promise<InodeNumber> {
    return (await this.vfs.makeNode(parent, name as Name, node, caller)).attributes.ino;
  }

  async lookup(name: string, parent: InodeNumber = rootInode): Promise<Entry> {
    return this.vfs.lookup(parent, name as Name, root);
  }

  async open(ino: InodeNumber, flags = 2, caller: Caller = root): Promise<number> {
    return (await this.vfs.open(ino, flags, caller)).handle;
  }

  async write(handle: number, offset: number, data: string | Uint8Array): Promise<number> {
    return this.vfs.write(handle, offset, typeof data === "string" ? Buffer.from(data) : data, plain);
  }

  async read(handle: number, offset: number, length: number): Promise<Buffer> {
    return textOf(await this.vfs.read(handle, offset, length));
  }

  async attributes(ino: InodeNumber): Promise<Entry["attributes"]> {
    return (await this.vfs.getAttributes(ino)).attributes;
  }

  async change(ino: InodeNumber, change: AttributeChange, caller: Caller = root): Promise<Entry> {
    return this.vfs.setAttributes(ino, change, caller);
  }

  async list(ino: InodeNumber = rootInode, withAttributes = false, perCall: number = Number.MAX_SAFE_INTEGER): Promise<DirectoryEntry[]> {
    const { handle } = await this.vfs.openDirectory(ino, 0, root);
    const entries: DirectoryEntry[] = [];
    for (let before = -1; before !== entries.length;) {
      before = entries.length;
      await this.vfs.readDirectory(
        handle,
        entries.at(-1)?.cookie ?? 0,
        withAttributes,
        (entry) => entries.length - before < perCall && entries.push(entry) > 0,
      );
    }
    this.vfs.releaseDirectory(handle);
    return entries;
  }

  calls(kind: string): number {
    return this.remote.calls.get(kind) ?? 0;
  }
}

function textOf(result: ReadResult): Buffer {
  const bytes = Buffer.concat(result.parts);
  result.release();
  return bytes;
}
