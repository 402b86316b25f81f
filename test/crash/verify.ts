/** Compares a tree that was found with what the model allows. Problems are sentences; none means that all is well. */
import { FileModel } from "./file-model.ts";
import type { Observed, ObservedNode } from "./observe.ts";
import type { NodeModel, TreeModel } from "./tree-model.ts";

export interface Verdict {
  readonly problems: readonly string[];
  /** Changes of names that were not acknowledged but are there. */
  readonly survivedCount: number;
  /** Files whose every byte was certain, and their bytes. */
  readonly certainFiles: number;
  readonly certainBytes: number;
}

const problemsMax = 12;

/** Nothing may be missing: the client lived, so what it said is what is there. */
export function verifyNow(model: TreeModel, observed: Observed): Verdict {
  const problems = [...observed.problems, ...compare(model.current, observed, (file, found) => file.explainNow(found))];
  return verdict(model.current, problems, model.pendingCount);
}

/** The tree after a crash: the one after some prefix of the changes since the last fsync. */
export function verifyAfterCrash(model: TreeModel, observed: Observed): Verdict {
  let best: Verdict | null = null;
  for (let count = model.pendingCount; count >= 0; count--) {
    const names = model.namesAfter(count);
    const problems = [...observed.problems, ...compare(names, observed, (file, found) => file.explainAfterCrash(found))];
    if (best === null || problems.length < best.problems.length) best = verdict(names, problems, count);
    if (problems.length === 0) break;
  }
  if (best === null) throw new Error("there is at least the empty prefix");
  return { ...best, problems: best.problems.slice(0, problemsMax) };
}

function verdict(names: ReadonlyMap<string, NodeModel>, problems: readonly string[], survivedCount: number): Verdict {
  const certain = [...new Set(names.values())].filter((node) => node instanceof FileModel).filter(({ isSynced }) => isSynced);
  const certainBytes = certain.reduce((sum, { current }) => sum + current.length, 0);
  return { problems, survivedCount, certainFiles: certain.length, certainBytes };
}

type Judge = (file: FileModel, found: Buffer) => string | null;

function compare(names: ReadonlyMap<string, NodeModel>, { nodes }: Observed, judge: Judge): string[] {
  const problems: string[] = [];
  for (const [path, node] of names) {
    const found = nodes.get(path);
    if (found === undefined) problems.push(`${path} (${node.kind}) is missing`);
    else {
      const problem = compareNode(node, found, judge);
      if (problem !== null) problems.push(`${path} ${problem}`);
    }
  }
  for (const [path, { kind }] of nodes) if (!names.has(path)) problems.push(`${path} (${kind}) must not be there`);
  return [...problems, ...compareLinks(names, nodes)];
}

function compareNode(node: NodeModel, found: ObservedNode, judge: Judge): string | null {
  if (node.kind !== found.kind) return `is a ${found.kind}, not a ${node.kind}`;
  if (node.kind === "symlink" && found.kind === "symlink" && node.target !== found.target)
    return `points to ${found.target}, not to ${node.target}`;
  return node.kind === "file" && found.kind === "file" ? judge(node, found.bytes) : null;
}

/** Names are of one file in the model exactly when they are of one inode, and the inode counts them. */
function compareLinks(names: ReadonlyMap<string, NodeModel>, nodes: ReadonlyMap<string, ObservedNode>): string[] {
  const problems: string[] = [];
  const inoOf = new Map<NodeModel, number>();
  const countOf = new Map<NodeModel, number>();
  for (const node of names.values()) countOf.set(node, (countOf.get(node) ?? 0) + 1);
  for (const [path, node] of names) {
    const found = nodes.get(path);
    if (node.kind !== "file" || found?.kind !== "file") continue;
    const ino = inoOf.get(node) ?? found.ino;
    inoOf.set(node, ino);
    if (ino !== found.ino) problems.push(`${path} is not the same file as its other names`);
    if (found.nlink !== countOf.get(node)) problems.push(`${path} has ${found.nlink} links, not ${countOf.get(node) ?? 0}`);
  }
  if (new Set(inoOf.values()).size !== inoOf.size) problems.push("two files have the same inode number");
  return problems;
}
