/**
 * What the tidy rules look at: the text files of the repository, parsed when a rule asks.
 *
 * Rules are pure functions from a Project to findings, so that their tests hand them a few files in memory.
 */
import { readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { type Program, parseSync } from "oxc-parser";

export interface Finding {
  /** Relative to the root of the repository. */
  readonly path: string;
  /** From 1; null when the finding is about the file as a whole. */
  readonly line: number | null;
  readonly message: string;
}

export type Rule = (project: Project) => readonly Finding[];

/** Any node of the syntax tree, seen as a record: rules look at `type` first. */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

export interface Source {
  readonly path: string;
  readonly text: string;
}

interface Parsed {
  readonly program: Program;
  readonly problem: string | null;
}

const skippedFolders = new Set(["node_modules", "dist", "target", ".git", ".toolchain", ".cfs-quickstart", "mnt", "coverage"]);
const textEndings = /\.(ts|mjs|rs|json|toml|yaml|yml|md|sh)$|\/run$|\/cfs$/;

export class Project {
  readonly #texts: ReadonlyMap<string, string>;
  readonly #parsed = new Map<string, Parsed>();

  constructor(texts: ReadonlyMap<string, string>) {
    this.#texts = texts;
  }

  /** For tests: paths and their contents. */
  static of(texts: Readonly<Record<string, string>>): Project {
    return new Project(new Map(Object.entries(texts)));
  }

  static read(root: string): Project {
    const texts = new Map<string, string>();
    const visit = (folder: string): void => {
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) {
          if (!skippedFolders.has(entry.name)) visit(path);
        } else if (entry.isFile() && textEndings.test(path)) texts.set(relative(root, path), readFileSync(path, "utf8"));
      }
    };
    visit(root);
    return new Project(texts);
  }

  get paths(): readonly string[] {
    return [...this.#texts.keys()].sort();
  }

  has(path: string): boolean {
    return this.#texts.has(path);
  }

  text(path: string): string {
    return this.#texts.get(path) ?? "";
  }

  matching(pattern: RegExp): readonly Source[] {
    return this.paths.filter((path) => pattern.test(path)).map((path) => ({ path, text: this.text(path) }));
  }

  /** TypeScript sources with a syntax tree. */
  get scripts(): readonly Source[] {
    return this.matching(/\.(ts|mjs)$/);
  }

  parse(path: string): Parsed {
    const known = this.#parsed.get(path);
    if (known !== undefined) return known;
    const result = parseSync(path, this.text(path));
    const parsed = { program: result.program, problem: result.errors[0]?.message ?? null };
    this.#parsed.set(path, parsed);
    return parsed;
  }

  lineOf(path: string, offset: number): number {
    return this.text(path).slice(0, offset).split("\n").length;
  }
}

/** Tests, what only tests use, benchmarks and fuzzers: they may use real clocks and random numbers. */
export function isTestFile(path: string): boolean {
  return /\.(test|bench|fuzz)\.(ts|mjs)$|\/testing(\.ts$|\/)/.test(path) || path.startsWith("test/");
}

/** Calls `visit` for each node of a tree, parents first. */
export function walk(root: unknown, visit: (node: SyntaxNode, parent: SyntaxNode | null) => void): void {
  const step = (value: unknown, parent: SyntaxNode | null): void => {
    if (Array.isArray(value)) {
      for (const item of value) step(item, parent);
    } else if (typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string") {
      const node = value as SyntaxNode;
      visit(node, parent);
      for (const [field, child] of Object.entries(node)) if (field !== "parent") step(child, node);
    }
  };
  step(root, null);
}

/** A field of a node that holds a node, or null. */
export function childOf(node: SyntaxNode, field: string): SyntaxNode | null {
  const child = node[field];
  return typeof child === "object" && child !== null && "type" in child ? (child as SyntaxNode) : null;
}

/** The name of an identifier or private name, or null for anything else. */
export function nameOf(node: SyntaxNode | null): string | null {
  return node !== null && (node.type === "Identifier" || node.type === "PrivateIdentifier") ? String(node["name"]) : null;
}
