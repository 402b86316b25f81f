/**
 * The files of testdata/: blocks of comments and commands, a line of dashes, what they print, and a blank line. Source: etcd's data-driven tests.
 *
 * With rewriting on, what was printed takes the place of what was expected, and the difference is reviewed.
 */
export interface StoryBlock {
  /** Comments and commands as they stand. */
  readonly head: readonly string[];
  readonly expected: string;
  /** Of the first line, from 1. */
  readonly line: number;
}

const dashes = "----";

export function parseStory(text: string): readonly StoryBlock[] {
  const blocks: StoryBlock[] = [];
  let head: string[] = [];
  let expected: string[] | null = null;
  let line = 1;
  for (const [index, row] of [...text.trimEnd().split("\n"), ""].entries()) {
    if (expected === null) {
      if (head.length === 0) line = index + 1;
      if (row === dashes) expected = [];
      else if (row !== "") head.push(row);
    } else if (row !== "") expected.push(row);
    else {
      blocks.push({ head, expected: expected.join("\n"), line });
      head = [];
      expected = null;
    }
  }
  if (head.length > 0) throw new Error(`line ${line}: commands without "${dashes}"`);
  return blocks;
}

export function commandsOf({ head }: StoryBlock): readonly string[] {
  return head.filter((row) => !row.startsWith("#"));
}

export function rewriteStory(blocks: readonly StoryBlock[], outputs: readonly string[]): string {
  const parts = blocks.map(({ head }, at) => [...head, dashes, ...(outputs[at] === "" ? [] : [outputs[at] as string]), ""].join("\n"));
  return parts.join("\n");
}
