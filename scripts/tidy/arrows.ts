/**
 * Which package may import which: the drawing of docs/ARCHITECTURE.md ("Direction") as data.
 *
 * Checked for imports, package.json and tsconfig references alike. No package reaches into another one's src/: the exports are the interface.
 */
import { dirname, join, normalize } from "node:path";
import { type Finding, isTestFile, type Project, type Source, type SyntaxNode, childOf, walk } from "./project.ts";

/** Lower layers first; a package imports only what stands above it in this list and is named here. */
export const arrows: Readonly<Record<string, readonly string[]>> = {
  core: [],
  native: ["core"],
  "raft-ts": ["core"],
  metadata: ["core", "raft-ts"],
  membership: ["core"],
  rpc: ["core", "native"],
  storage: ["core", "metadata", "native"],
  vfs: ["core", "metadata"],
  gateways: ["core", "vfs", "native"],
  server: ["core", "metadata", "storage", "rpc", "native"],
  client: ["core", "metadata", "rpc", "vfs", "gateways", "native"],
  cli: ["core", "client", "server", "rpc"],
  testkit: ["core", "native", "raft-ts", "metadata", "membership", "rpc", "storage", "vfs", "gateways", "server", "client"],
};

/** Folders and files that hold rules only: they import core and each other, and nothing of Node. */
export const purePaths: readonly string[] = [
  "packages/raft-ts/src/",
  "packages/membership/src/swim/",
  "packages/metadata/src/namespace/",
  "packages/metadata/src/kv/ordered-kv.ts",
];

/** Packages that are published by themselves go by a name without the scope. */
const unscoped: readonly string[] = ["raft-ts"];

/** Which of our packages an import names, and what of it; null for anything else. */
function targetOf(specifier: string): { readonly name: string; readonly subpath: string } | null {
  const parts = /^(?:@cfs\/([^/]+)|([^@./][^/]*))(\/.*)?$/.exec(specifier);
  const name = parts?.[1] ?? unscoped.find((own) => own === parts?.[2]);
  return name === undefined ? null : { name, subpath: parts?.[3] ?? "" };
}

export function isPure(path: string): boolean {
  return !isTestFile(path) && (purePaths.some((pure) => path.startsWith(pure)) || /^packages\/.*-format\.ts$/.test(path));
}

/** The package that a file belongs to, or null outside of packages. */
export function packageOf(path: string): string | null {
  if (path.startsWith("native/")) return "native";
  return /^packages\/([^/]+)\//.exec(path)?.[1] ?? null;
}

interface Import {
  readonly specifier: string;
  readonly start: number;
}

const importingTypes = new Set(["ImportDeclaration", "ExportNamedDeclaration", "ExportAllDeclaration", "ImportExpression", "TSImportType"]);

export function importsOf(project: Project, path: string): readonly Import[] {
  const found: Import[] = [];
  walk(project.parse(path).program, (node: SyntaxNode) => {
    if (!importingTypes.has(node.type)) return;
    const source = childOf(node, "source");
    if (source !== null && typeof source["value"] === "string") found.push({ specifier: source["value"], start: node.start });
  });
  return found;
}

function mayImport(from: string, to: string, isTest: boolean): boolean {
  return from === to || (arrows[from] ?? []).includes(to) || (isTest && to === "testkit");
}

function checkImport(own: string, path: string, specifier: string): string | null {
  const target = targetOf(specifier);
  if (target !== null) {
    if (target.subpath.startsWith("/src")) return `imports the inside of another package: ${specifier}`;
    if (!mayImport(own, target.name, isTestFile(path)))
      return `${own} may not import ${target.name} (the arrows are in scripts/tidy/arrows.ts)`;
  }
  if (specifier.startsWith(".") && packageOf(normalize(join(dirname(path), specifier))) !== own)
    return `leaves its package by a relative import: ${specifier}`;
  return null;
}

function checkPureImport(path: string, specifier: string): string | null {
  if (specifier === "@cfs/core") return null;
  if (!specifier.startsWith(".")) return `a pure core imports only @cfs/core and itself, not ${specifier}`;
  const target = normalize(join(dirname(path), specifier));
  const isAmongPure = purePaths.some((pure) => target.startsWith(pure)) || dirname(target) === dirname(path);
  return isAmongPure ? null : `a pure core imports only @cfs/core and itself, not ${target}`;
}

function checkSource(project: Project, { path }: Source): Finding[] {
  const own = packageOf(path);
  if (own === null) return [];
  const findings: Finding[] = [];
  for (const { specifier, start } of importsOf(project, path)) {
    const message = checkImport(own, path, specifier) ?? (isPure(path) ? checkPureImport(path, specifier) : null);
    if (message !== null) findings.push({ path, line: project.lineOf(path, start), message });
  }
  return findings;
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly references?: readonly { readonly path: string }[];
}

function checkManifest({ path, text }: Source): Finding[] {
  const own = packageOf(path);
  if (own === null) return [];
  if (arrows[own] === undefined)
    return path.endsWith("package.json")
      ? [{ path, line: null, message: `package ${own} has no arrows yet: add it to scripts/tidy/arrows.ts` }]
      : [];
  const manifest = JSON.parse(text) as Manifest;
  const targets = path.endsWith("package.json")
    ? Object.keys(manifest.dependencies ?? {}).flatMap((name) => targetOf(name)?.name ?? [])
    : (manifest.references ?? []).map((reference) => packageOf(`${normalize(join(dirname(path), reference.path))}/`) ?? reference.path);
  return targets
    .filter((target) => !mayImport(own, target, false))
    .map((target) => ({ path, line: null, message: `${own} may not depend on ${target}` }));
}

export function arrowRule(project: Project): readonly Finding[] {
  const manifests = project.matching(/^(packages\/[^/]+|native)\/(package|tsconfig)\.json$/);
  return [...project.scripts.flatMap((source) => checkSource(project, source)), ...manifests.flatMap(checkManifest)];
}
