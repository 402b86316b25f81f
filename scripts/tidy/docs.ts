/** Documentation that must keep step with the code: error codes, package READMEs, links between files. */
import { dirname, join, normalize } from "node:path";
import { type Finding, nameOf, type Project, type SyntaxNode, childOf, walk } from "./project.ts";

const errorsSource = "packages/core/src/errors.ts";
const errorsPage = "docs/operating/errors.md";

/** The table `errnoByCode` as it stands in the source. */
export function errorCodes(project: Project): ReadonlyMap<string, number> {
  const codes = new Map<string, number>();
  walk(project.parse(errorsSource).program, (node: SyntaxNode) => {
    if (node.type !== "VariableDeclarator" || nameOf(childOf(node, "id")) !== "errnoByCode") return;
    walk(node, (property) => {
      const name = property.type === "Property" ? nameOf(childOf(property, "key")) : null;
      if (name !== null) codes.set(name, Number(childOf(property, "value")?.["value"]));
    });
  });
  return codes;
}

/** Rows of the page: | `CODE` | errno | meaning and cause | cure |. */
function documentedCodes(text: string): ReadonlyMap<string, { line: number; errno: number; isFilled: boolean }> {
  const rows = new Map<string, { line: number; errno: number; isFilled: boolean }>();
  for (const [index, line] of text.split("\n").entries()) {
    const row = /^\| `([A-Z_]+)` \| (\d+)[^|]* \|(.*)\|(.*)\|$/.exec(line);
    if (row?.[1] !== undefined)
      rows.set(row[1], { line: index + 1, errno: Number(row[2]), isFilled: row[3]?.trim() !== "" && row[4]?.trim() !== "" });
  }
  return rows;
}

export function errorPageRule(project: Project): readonly Finding[] {
  if (!project.has(errorsSource)) return [];
  const codes = errorCodes(project);
  const rows = documentedCodes(project.text(errorsPage));
  const findings: Finding[] = [];
  for (const [code, errno] of codes) {
    const row = rows.get(code);
    if (row === undefined)
      findings.push({ path: errorsPage, line: null, message: `${code} (errno ${errno}) is not explained: add a row with cause and cure` });
    else if (row.errno !== errno)
      findings.push({ path: errorsPage, line: row.line, message: `${code} is errno ${errno} in the code, not ${row.errno}` });
    else if (!row.isFilled) findings.push({ path: errorsPage, line: row.line, message: `${code} lacks its cause or its cure` });
  }
  for (const [code, { line }] of rows)
    if (!codes.has(code)) findings.push({ path: errorsPage, line, message: `${code} is no code of ${errorsSource}` });
  return findings;
}

export function readmeRule(project: Project): readonly Finding[] {
  return project
    .matching(/^(packages\/[^/]+|native)\/package\.json$/)
    .map(({ path }) => join(dirname(path), "README.md"))
    .filter((path) => !project.has(path))
    .map((path) => ({ path, line: null, message: "every package has a README" }));
}

/** Relative links in Markdown point at files (or folders that hold files) of the repository. */
export function linkRule(project: Project): readonly Finding[] {
  const exists = (target: string): boolean =>
    project.has(target) || project.paths.some((path) => path.startsWith(`${target.replace(/\/$/, "")}/`));
  return project.matching(/\.md$/).flatMap(({ path, text }) =>
    text.split("\n").flatMap((line, index) =>
      [...line.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)].flatMap((match) => {
        const link = match[1] ?? "";
        if (/^[a-z]+:/.test(link) || link === "LICENSE" || link.endsWith("/LICENSE")) return [];
        const target = normalize(join(dirname(path), link));
        return exists(target) ? [] : [{ path, line: index + 1, message: `the link to ${link} leads nowhere` }];
      }),
    ),
  );
}
