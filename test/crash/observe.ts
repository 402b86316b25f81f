/** Reads a whole directory tree as it is: names, kinds, contents, and which names are one file. Asynchronous, so that a hung mount cannot stop the test. */
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { FileModel } from "./file-model.ts";
import { TreeModel } from "./tree-model.ts";
import type { NodeModel } from "./tree-model.ts";

export type ObservedNode =
  | { readonly kind: "file"; readonly bytes: Buffer; readonly ino: number; readonly nlink: number }
  | { readonly kind: "directory" }
  | { readonly kind: "symlink"; readonly target: string };

export interface Observed {
  /** By path relative to the root. */
  readonly nodes: ReadonlyMap<string, ObservedNode>;
  /** What the tree says of itself that does not fit together. */
  readonly problems: readonly string[];
}

export async function observe(root: string): Promise<Observed> {
  const nodes = new Map<string, ObservedNode>();
  const problems: string[] = [];
  const walk = async (directory: string): Promise<void> => {
    const names = await readdir(join(root, directory));
    if (new Set(names).size !== names.length) problems.push(`${directory || "/"} lists a name twice`);
    for (const name of names) {
      const path = directory === "" ? name : `${directory}/${name}`;
      const node = await observeNode(join(root, path), path, problems);
      if (node === null) continue;
      nodes.set(path, node);
      if (node.kind === "directory") await walk(path);
    }
  };
  await walk("");
  return { nodes, problems };
}

async function observeNode(full: string, path: string, problems: string[]): Promise<ObservedNode | null> {
  try {
    const info = await lstat(full);
    if (info.isDirectory()) return { kind: "directory" };
    if (info.isSymbolicLink()) return { kind: "symlink", target: await readlink(full) };
    const bytes = await readFile(full);
    if (bytes.length !== info.size) problems.push(`${path} has ${info.size} bytes by stat and ${bytes.length} by read`);
    return { kind: "file", bytes, ino: info.ino, nlink: info.nlink };
  } catch (reason) {
    problems.push(`${path} is listed but cannot be read: ${(reason as NodeJS.ErrnoException).code ?? String(reason)}`);
    return null;
  }
}

/** The model of a tree that is certain: what was found after a crash and judged right. */
export function modelOf({ nodes }: Observed): TreeModel {
  const files = new Map<number, FileModel>();
  const names = new Map<string, NodeModel>();
  for (const [path, node] of nodes) {
    if (node.kind !== "file") {
      names.set(path, node);
      continue;
    }
    const file = files.get(node.ino) ?? new FileModel(node.bytes);
    files.set(node.ino, file);
    names.set(path, file);
  }
  return new TreeModel(names);
}
