/** The stories of testdata/. With CFS_REWRITE=1 what is printed takes the place of what is expected. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { parseDataFile, rewriteDataFile } from "./testing/data-file.ts";
import { Transcript } from "./testing/transcript.ts";

const folder = new URL("../testdata/", import.meta.url);

for (const name of readdirSync(folder).filter((file) => file.endsWith(".txt"))) {
  test(`story ${name}`, () => {
    const path = fileURLToPath(new URL(name, folder));
    const blocks = parseDataFile(readFileSync(path, "utf8"));
    const transcript = new Transcript();
    const outputs = blocks.map(({ commands }) => transcript.run(commands));
    if (process.env["CFS_REWRITE"] === "1") writeFileSync(path, rewriteDataFile(blocks, outputs));
    else
      expect(outputs.map((output, at) => `line ${blocks[at]?.line ?? 0}:\n${output}`)).toEqual(
        blocks.map(({ expected, line }) => `line ${line}:\n${expected}`),
      );
  });
}
