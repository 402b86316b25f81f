/** The stories of testdata/. With CFS_REWRITE=1 what is printed takes the place of what is expected. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { commandsOf, parseStory, rewriteStory } from "./testing/story-file.ts";
import { Transcript } from "./testing/transcript.ts";

const folder = new URL("../testdata/", import.meta.url);

for (const name of readdirSync(folder).filter((file) => file.endsWith(".txt"))) {
  test(`story ${name}`, () => {
    const path = fileURLToPath(new URL(name, folder));
    const blocks = parseStory(readFileSync(path, "utf8"));
    const transcript = new Transcript();
    const outputs = blocks.map((block) => transcript.run(commandsOf(block)));
    if (process.env["CFS_REWRITE"] === "1") writeFileSync(path, rewriteStory(blocks, outputs));
    const told = outputs.map((output, at) => `line ${blocks[at]?.line ?? 0}:\n${output}`);
    expect(told).toEqual(process.env["CFS_REWRITE"] === "1" ? told : blocks.map(({ expected, line }) => `line ${line}:\n${expected}`));
  });
}
