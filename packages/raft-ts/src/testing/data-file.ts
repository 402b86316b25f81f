/**
 * Tests as text: commands, a line of dashes, what they print, a blank line.
 *
 *   # A comment.
 *   propose 1 hello
 *   ----
 *   1 appends 2 "hello"
 *
 * With rewriting on, what was printed takes the place of what was expected, and the difference is reviewed as a diff. Source: etcd's and Pebble's
 * data-driven tests.
 */
export interface DataBlock {
  /** Comment lines before the commands, kept as they are. */
  readonly comments: readonly string[];
  readonly commands: readonly string[];
  readonly expected: string;
  /** Of the first command, from 1. */
  readonly line: number;
}

const dashes = "----";

export function parseDataFile(text: string): readonly DataBlock[] {
  const lines = text.split("\n");
  const blocks: DataBlock[] = [];
  let at = 0;
  while (at < lines.length) {
    const comments: string[] = [];
    for (; at < lines.length && (lines[at]?.startsWith("#") === true || lines[at] === ""); at++) comments.push(lines[at] as string);
    const line = at + 1;
    const commands: string[] = [];
    for (; at < lines.length && lines[at] !== dashes && lines[at] !== ""; at++) commands.push(lines[at] as string);
    if (commands.length === 0) break;
    if (lines[at] !== dashes) throw new Error(`line ${line}: commands without "${dashes}"`);
    const begin = ++at;
    while (at < lines.length && lines[at] !== "") at++;
    blocks.push({ comments, commands, expected: lines.slice(begin, at).join("\n"), line });
    at++;
  }
  return blocks;
}

/** The file with `outputs` in place of what was expected. */
export function rewriteDataFile(blocks: readonly DataBlock[], outputs: readonly string[]): string {
  const parts = blocks.map(({ comments, commands }, at) => {
    const output = outputs[at] ?? "";
    return [...comments, ...commands, dashes, ...(output === "" ? [] : [output]), ""].join("\n");
  });
  return parts.join("\n");
}
