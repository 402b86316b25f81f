/**
 * A naive tree of nodes: the oracle of the namespace. Objects that hold objects, link counts counted by looking everywhere.
 *
 * Written from the manual pages and not from the state machine. No ACLs and no content: tables and the other model cover those.
 */
import type { InodeNumber } from "@cfs/core";
import type { Caller, Link, MakeNode, Moment, Rename, SetAttributes, Unlink } from "../commands.ts";

export interface ModelNode {
  readonly ino: InodeNumber;
  readonly kind: MakeNode["kind"];
  mode: number;
  uid: number;
  gid: number;
  mtime: Moment;
  ctime: Moment;
  isRemoved: boolean;
  /** Of directories. */
  readonly children: Map<string, ModelNode>;
  parent: ModelNode | null;
}

const EPERM = 1;
const ENOENT = 2;
const EACCES = 13;
const EEXIST = 17;
const ENOTDIR = 20;
const EISDIR = 21;
const EINVAL = 22;
const ENOTEMPTY = 39;
const ENOTSUP = 95;
const ESTALE = 116;

/** Root, and whom a kernel has judged. */
function isPrivileged({ uid, groups }: Caller): boolean {
  return uid === 0 || groups === null;
}

function can(node: ModelNode, { uid, gid, groups }: Caller, what: string): boolean {
  if (groups === null || uid === 0) return true;
  const shift = uid === node.uid ? 6 : gid === node.gid || groups.includes(node.gid) ? 3 : 0;
  const bits = (node.mode >> shift) & 7;
  return what.split("").every((letter) => (bits & { r: 4, w: 2, x: 1 }[letter as "r" | "w" | "x"]) !== 0);
}

function isSticky(directory: ModelNode, node: ModelNode, caller: Caller): boolean {
  return (directory.mode & 0o1000) !== 0 && !isPrivileged(caller) && caller.uid !== node.uid && caller.uid !== directory.uid;
}

export class ModelTree {
  readonly nodes: Map<InodeNumber, ModelNode> = new Map();
  readonly root: ModelNode;

  constructor(ino: InodeNumber, time: Moment) {
    this.root = {
      ino,
      kind: "directory",
      mode: 0o755,
      uid: 0,
      gid: 0,
      mtime: time,
      ctime: time,
      isRemoved: false,
      children: new Map(),
      parent: null,
    };
    this.root.parent = this.root;
    this.nodes.set(ino, this.root);
  }

  /** As stat(2) says. */
  linkCount(node: ModelNode): number {
    if (node.kind === "directory")
      return node.isRemoved ? 0 : 2 + [...node.children.values()].filter((child) => child.kind === "directory").length;
    let count = 0;
    for (const other of this.nodes.values()) for (const child of other.children.values()) if (child === node) count += 1;
    return count;
  }

  makeNode(command: MakeNode): number {
    const parent = this.nodes.get(command.parent);
    if (parent === undefined) return ESTALE;
    const error = this.#cannotAdd(parent, command.name, command.caller);
    if (error !== 0) return error;
    const { caller, kind, time, ino } = command;
    if ((kind === "character" || kind === "block") && !isPrivileged(caller) && !(kind === "character" && command.rdev === 0)) return EPERM;
    let mode = kind === "symlink" ? 0o777 : command.mode & ~command.umask;
    let gid = caller.gid;
    if (kind === "directory") mode &= 0o1777;
    if ((parent.mode & 0o2000) !== 0) {
      gid = parent.gid;
      if (kind === "directory") mode |= 0o2000;
      // Judged before the umask, as the kernel does.
      else if (kind !== "symlink" && (command.mode & 0o2010) === 0o2010 && !this.#isMember(caller, parent.gid)) mode &= ~0o2000;
    }
    const node: ModelNode = {
      ino,
      kind,
      mode,
      uid: caller.uid,
      gid,
      mtime: time,
      ctime: time,
      isRemoved: command.name === null,
      children: new Map(),
      parent,
    };
    this.nodes.set(ino, node);
    if (command.name !== null) this.#put(parent, command.name, node, time);
    return 0;
  }

  #isMember(caller: Caller, gid: number): boolean {
    return caller.uid === 0 || caller.groups === null || caller.gid === gid || caller.groups.includes(gid);
  }

  #cannotAdd(parent: ModelNode, name: string | null, caller: Caller): number {
    if (parent.kind !== "directory") return ENOTDIR;
    if (!can(parent, caller, "x")) return EACCES;
    if (name !== null && parent.children.has(name)) return EEXIST;
    if (parent.isRemoved) return ENOENT;
    return can(parent, caller, "w") ? 0 : EACCES;
  }

  #put(parent: ModelNode, name: string, node: ModelNode | null, time: Moment): void {
    if (node === null) parent.children.delete(name);
    else parent.children.set(name, node);
    if (node?.kind === "directory") node.parent = parent;
    parent.mtime = time;
    parent.ctime = time;
  }

  link(command: Link): number {
    const node = this.nodes.get(command.ino);
    const parent = this.nodes.get(command.parent);
    if (node === undefined || parent === undefined) return ESTALE;
    const error = this.#cannotAdd(parent, command.name, command.caller);
    if (error !== 0) return error;
    if (node.kind === "directory") return EPERM;
    this.#put(parent, command.name, node, command.time);
    node.isRemoved = false;
    node.ctime = command.time;
    return 0;
  }

  #cannotTake(parent: ModelNode, node: ModelNode, caller: Caller): number {
    if (!can(parent, caller, "wx")) return EACCES;
    return isSticky(parent, node, caller) ? EPERM : 0;
  }

  #lose(node: ModelNode, time: Moment): void {
    node.ctime = time;
    if (node.kind === "directory" || this.linkCount(node) === 0) node.isRemoved = true;
  }

  unlink(command: Unlink): number {
    const parent = this.nodes.get(command.parent);
    if (parent === undefined) return ESTALE;
    if (parent.kind !== "directory") return ENOTDIR;
    if (!can(parent, command.caller, "x")) return EACCES;
    const node = parent.children.get(command.name);
    if (node === undefined) return ENOENT;
    const error = this.#cannotTake(parent, node, command.caller);
    if (error !== 0) return error;
    if (command.directory && node.kind !== "directory") return ENOTDIR;
    if (!command.directory && node.kind === "directory") return EISDIR;
    if (node.children.size > 0) return ENOTEMPTY;
    this.#put(parent, command.name, null, command.time);
    this.#lose(node, command.time);
    return 0;
  }

  #isBelow(node: ModelNode, ancestor: ModelNode): boolean {
    for (let at: ModelNode | null = node; at !== null; at = at.parent === at ? null : at.parent) if (at === ancestor) return true;
    return false;
  }

  rename(command: Rename): number {
    const { flags, caller, time } = command;
    const isExchange = flags === 2;
    if (flags > 7 || ((flags & 2) !== 0 && flags !== 2)) return EINVAL;
    const from = this.nodes.get(command.parent);
    const to = this.nodes.get(command.newParent);
    if (from === undefined || to === undefined) return ESTALE;
    if (from.kind !== "directory" || to.kind !== "directory") return ENOTDIR;
    if (!can(from, caller, "x") || !can(to, caller, "x")) return EACCES;
    const node = from.children.get(command.name);
    const target = to.children.get(command.newName);
    if (node === undefined) return ENOENT;
    if (target !== undefined && (flags & 1) !== 0) return EEXIST;
    if (target === undefined && isExchange) return ENOENT;
    if (to.isRemoved) return ENOENT;
    if (node.kind === "directory" && this.#isBelow(to, node)) return EINVAL;
    if (target?.kind === "directory" && this.#isBelow(from, target)) return isExchange ? EINVAL : ENOTEMPTY;
    if (node === target) return 0;
    const error = this.#cannotTake(from, node, caller) || this.#cannotReplace(to, node, target, caller, isExchange);
    if (error !== 0) return error;
    if (from !== to && node.kind === "directory" && !can(node, caller, "w")) return EACCES;
    if (from !== to && isExchange && target?.kind === "directory" && !can(target, caller, "w")) return EACCES;
    if (!isExchange && target !== undefined && target.children.size > 0) return ENOTEMPTY;
    if ((flags & 4) !== 0 && command.whiteout === 0) return EINVAL;

    node.ctime = time;
    this.#put(from, command.name, null, time);
    this.#put(to, command.newName, node, time);
    if (isExchange && target !== undefined) {
      target.ctime = time;
      this.#put(from, command.name, target, time);
    } else if (target !== undefined) {
      this.#lose(target, time);
    }
    if ((flags & 4) !== 0) {
      const whiteout: ModelNode = {
        ino: command.whiteout as InodeNumber,
        kind: "character",
        mode: 0,
        uid: caller.uid,
        gid: (from.mode & 0o2000) === 0 ? caller.gid : from.gid,
        mtime: time,
        ctime: time,
        isRemoved: false,
        children: new Map(),
        parent: from,
      };
      this.nodes.set(whiteout.ino, whiteout);
      this.#put(from, command.name, whiteout, time);
    }
    return 0;
  }

  #cannotReplace(to: ModelNode, node: ModelNode, target: ModelNode | undefined, caller: Caller, isExchange: boolean): number {
    if (target === undefined) return can(to, caller, "w") ? 0 : EACCES;
    const error = this.#cannotTake(to, target, caller);
    if (error !== 0 || isExchange) return error;
    if (node.kind === "directory" && target.kind !== "directory") return ENOTDIR;
    return node.kind !== "directory" && target.kind === "directory" ? EISDIR : 0;
  }

  /** chmod, chown and utimensat; no truncate. */
  setAttributes(command: SetAttributes): number {
    const node = this.nodes.get(command.ino);
    if (node === undefined) return ESTALE;
    const { caller, uid, gid, mode, mtime, time } = command;
    const isOwner = caller.uid === node.uid;
    if (uid !== null && !isPrivileged(caller) && !(isOwner && uid === node.uid)) return EPERM;
    if (gid !== null && !isPrivileged(caller) && !(isOwner && (gid === node.gid || this.#isMember(caller, gid)))) return EPERM;
    if (mode !== null && !isPrivileged(caller) && !isOwner) return EPERM;
    if (mode !== null && node.kind === "symlink") return ENOTSUP;
    if (mtime !== null && !isPrivileged(caller) && !isOwner) {
      if (!command.isTouch) return EPERM;
      if (!can(node, caller, "w")) return EACCES;
    }
    if (((uid !== null || gid !== null) && node.kind !== "directory") || command.killSetId) {
      node.mode &= ~0o4000;
      const acts = caller.uid === 0 || caller.gid === node.gid || (caller.groups !== null && caller.groups.includes(node.gid));
      if ((node.mode & 0o010) !== 0 || !acts) node.mode &= ~0o2000;
    }
    node.uid = uid ?? node.uid;
    node.gid = gid ?? node.gid;
    if (mode !== null) node.mode = this.#isMember(caller, node.gid) ? mode : mode & ~0o2000;
    node.mtime = mtime ?? node.mtime;
    node.ctime = time;
    return 0;
  }

  reap(ino: InodeNumber): number {
    const node = this.nodes.get(ino);
    if (node?.isRemoved === true) this.nodes.delete(ino);
    return 0;
  }
}
