/** Short ways to give commands in tests, as a shell would: every call is one command on a World. */
import { rootInode } from "@cfs/core";
import type { InodeNumber, Name } from "@cfs/core";
import type { Caller, Command, SetAttributes, Write } from "../commands.ts";
import type { FileKind } from "../records.ts";
import { root, World } from "./world.ts";

export class Shell {
  readonly world: World = new World();
  caller: Caller = root;

  as(caller: Caller): this {
    this.caller = caller;
    return this;
  }

  run(command: Command): number {
    return this.world.run(command);
  }

  /** The new inode's number; throws the errno when it fails. */
  make(
    name: string | null,
    kind: FileKind,
    mode: number,
    {
      parent = rootInode,
      umask = 0,
      target = null,
      rdev = 0,
    }: { parent?: InodeNumber; umask?: number; target?: string | null; rdev?: number } = {},
  ): InodeNumber {
    const ino = this.world.newInode();
    const errno = this.run({
      type: "makeNode",
      parent,
      name: name as Name | null,
      ino,
      kind,
      mode,
      umask,
      rdev,
      target: target === null ? null : Buffer.from(target),
      caller: this.caller,
      time: this.world.time(),
    });
    if (errno !== 0) throw Object.assign(new Error(`errno ${errno}`), { errno });
    return ino;
  }

  /** The errno of a make that fails. */
  makeError(...args: Parameters<Shell["make"]>): number {
    try {
      this.make(...args);
      return 0;
    } catch (reason) {
      return (reason as { errno: number }).errno;
    }
  }

  link(ino: InodeNumber, name: string, parent: InodeNumber = rootInode): number {
    return this.run({ type: "link", ino, parent, name: name as Name, caller: this.caller, time: this.world.time() });
  }

  unlink(name: string, parent: InodeNumber = rootInode): number {
    return this.run({ type: "unlink", parent, name: name as Name, directory: false, caller: this.caller, time: this.world.time() });
  }

  rmdir(name: string, parent: InodeNumber = rootInode): number {
    return this.run({ type: "unlink", parent, name: name as Name, directory: true, caller: this.caller, time: this.world.time() });
  }

  rename(
    from: string,
    to: string,
    {
      parent = rootInode,
      newParent = rootInode,
      flags = 0,
      whiteout = 0,
    }: { parent?: InodeNumber; newParent?: InodeNumber; flags?: number; whiteout?: InodeNumber | 0 } = {},
  ): number {
    return this.run({
      type: "rename",
      parent,
      name: from as Name,
      newParent,
      newName: to as Name,
      flags,
      whiteout,
      caller: this.caller,
      time: this.world.time(),
    });
  }

  set(ino: InodeNumber, change: Partial<SetAttributes>): number {
    const nothing = {
      mode: null,
      uid: null,
      gid: null,
      sizeBytes: null,
      atime: null,
      mtime: null,
      ctime: null,
      isTouch: false,
      killSetId: false,
    };
    return this.run({ type: "setAttributes", ino, ...nothing, caller: this.caller, time: this.world.time(), ...change });
  }

  setXattr(
    ino: InodeNumber,
    name: string,
    value: Uint8Array | null,
    { flags = 0, killSetGid = false }: { flags?: number; killSetGid?: boolean } = {},
  ): number {
    return this.run({ type: "setXattr", ino, name, value, flags, killSetGid, caller: this.caller, time: this.world.time() });
  }

  write(ino: InodeNumber, offsetBytes: number, text: string, change: Partial<Write> = {}): number {
    const bytes = Buffer.from(text, "latin1");
    return this.world.run(
      {
        type: "write",
        ino,
        offsetBytes,
        lengthBytes: bytes.length,
        source: { kind: "inline", bytes },
        setTimes: true,
        killSetId: false,
        spill: false,
        caller: this.caller,
        time: this.world.time(),
        ...change,
      },
      { fileId: 1, recordOffsetBytes: 4096 },
    );
  }

  mode(ino: InodeNumber): string {
    return this.world.inode(ino).mode.toString(8);
  }

  xattr(ino: InodeNumber, name: string): Uint8Array | null {
    return this.world.server.xattr(ino, name);
  }
}
