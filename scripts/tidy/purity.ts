/**
 * Clocks and chance come in through ports, and pure cores never wait.
 *
 * Only composition roots (and what merely measures or tests) may read a clock, set a timer or draw random numbers by themselves; everything else takes
 * Clock and Random, so that a simulator can run it from one seed. The simulator itself is held to it too. Pure cores are synchronous.
 */
import { isPure, packageOf } from "./arrows.ts";
import { type Finding, isTestFile, type Project, type SyntaxNode, childOf, nameOf, walk } from "./project.ts";

/** The real ports themselves, which composition roots take from core. */
const realPorts = new Set(["packages/core/src/system.ts"]);
/** Walks over a whole store, page by page, that stand beside the rules they decode with; only drivers call them. */
const waitingScans = new Set(["kv-scan.ts", "state-scans.ts", "all-dirents.ts"].map((name) => `packages/metadata/src/namespace/${name}`));
/** The recount of the whole state, which reads it page by page. */
const waitingFolder = "packages/metadata/src/namespace/check/";
const rootPackages = new Set(["server", "client", "cli", "testkit", "native"]);
/** In the testkit, but a run there is a function of commit and seed. */
const simulator = "packages/testkit/src/sim/";
const bannedMembers: Readonly<Record<string, readonly string[]>> = {
  Date: ["now"],
  Math: ["random"],
  process: ["hrtime", "uptime"],
  performance: ["now"],
  crypto: ["getRandomValues", "randomUUID"],
};
const bannedCalls = new Set(["setTimeout", "setInterval"]);
const bannedInPureCalls = new Set(["setImmediate", "queueMicrotask"]);
const bannedImports: Readonly<Record<string, readonly string[]>> = {
  "node:crypto": ["randomBytes", "randomFill", "randomFillSync", "randomInt", "randomUUID"],
  "node:timers": ["setTimeout", "setInterval"],
  "node:timers/promises": ["setTimeout", "setInterval", "scheduler"],
  "node:perf_hooks": ["performance"],
};

/** What of the machine this node uses by itself, as people would write it; null when it is harmless. */
function bannedUse(node: SyntaxNode, pure: boolean): string | null {
  if (node.type === "MemberExpression") {
    const object = nameOf(childOf(node, "object"));
    const member = nameOf(childOf(node, "property"));
    return object !== null && member !== null && (bannedMembers[object] ?? []).includes(member) ? `${object}.${member}` : null;
  }
  if (node.type === "NewExpression" && nameOf(childOf(node, "callee")) === "Date")
    return (node["arguments"] as unknown[]).length === 0 ? "new Date()" : null;
  if (node.type === "CallExpression") {
    const callee = nameOf(childOf(node, "callee"));
    return callee !== null && (bannedCalls.has(callee) || (pure && bannedInPureCalls.has(callee))) ? callee : null;
  }
  if (node.type !== "ImportDeclaration") return null;
  const from = String(childOf(node, "source")?.["value"]);
  const names = (node["specifiers"] as SyntaxNode[]).map((specifier) => nameOf(childOf(specifier, "imported")) ?? "");
  const banned = names.find((name) => (bannedImports[from] ?? []).includes(name));
  return banned === undefined ? null : `${banned} from ${from}`;
}

function waits(node: SyntaxNode): boolean {
  if (node.type === "AwaitExpression" || (node.type === "ForOfStatement" && node["await"] === true)) return true;
  if (node.type === "NewExpression" && nameOf(childOf(node, "callee")) === "Promise") return true;
  return node["async"] === true;
}

export function purityRule(project: Project): readonly Finding[] {
  const findings: Finding[] = [];
  for (const { path } of project.scripts) {
    const own = packageOf(path);
    const isFree = own === null || (rootPackages.has(own) && !path.startsWith(simulator)) || realPorts.has(path) || isTestFile(path);
    if (isFree) continue;
    const pure = isPure(path);
    const report = (node: SyntaxNode, message: string): void =>
      void findings.push({ path, line: project.lineOf(path, node.start), message });
    walk(project.parse(path).program, (node) => {
      const use = bannedUse(node, pure);
      if (use !== null) report(node, `${use} outside of a composition root: take it as a port (Clock, Random)`);
      if (pure && !waitingScans.has(path) && !path.startsWith(waitingFolder) && waits(node))
        report(node, "a pure core does not wait: no async, await or promises here");
    });
  }
  return findings;
}
