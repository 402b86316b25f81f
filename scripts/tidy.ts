/**
 * Guards what linters cannot see: the direction of dependencies, ports instead of clocks, short functions, leftovers, documentation in step.
 *
 * Use: node scripts/tidy.ts (findings as path:line: message, exit code 1), or with --update to tighten scripts/tidy.ratchet.json.
 * The rules are in scripts/tidy/, one file per idea; each is a pure function over the files of the repository.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { arrowRule } from "./tidy/arrows.ts";
import { errorPageRule, linkRule, readmeRule } from "./tidy/docs.ts";
import { leftoverRule } from "./tidy/leftovers.ts";
import { Project, type Rule } from "./tidy/project.ts";
import { purityRule } from "./tidy/purity.ts";
import { headerRule, type Ratchet, sizeRule, syntaxRule, tightened } from "./tidy/size.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const ratchetPath = fileURLToPath(new URL("./tidy.ratchet.json", import.meta.url));

function readRatchet(): Ratchet {
  return JSON.parse(readFileSync(ratchetPath, "utf8")) as Ratchet;
}

function main(isUpdate: boolean): number {
  const project = Project.read(root);
  if (isUpdate) writeFileSync(ratchetPath, `${JSON.stringify(tightened(readRatchet(), project), null, 2)}\n`);
  const rules: readonly Rule[] = [
    syntaxRule,
    arrowRule,
    purityRule,
    headerRule,
    sizeRule(readRatchet()),
    leftoverRule,
    errorPageRule,
    readmeRule,
    linkRule,
  ];
  const findings = rules.flatMap((rule) => rule(project));
  for (const { path, line, message } of findings) console.error(`${path}${line === null ? "" : `:${line}`}: ${message}`);
  console.log(findings.length === 0 ? `tidy: ${project.paths.length} files are fine` : `tidy: ${findings.length} findings`);
  return findings.length === 0 ? 0 : 1;
}

process.exitCode = main(process.argv.includes("--update"));
