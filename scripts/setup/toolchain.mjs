/** The pinned Node and pnpm from npm, in .toolchain/ of the checkout; the machine's own stay as they are. */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { SetupProblem, isStamped, pinnedNode, pinnedPnpm, pinnedVersions, probe, run, say, toolchain, writeStamp } from "./step.mjs";

export async function installToolchain() {
  const { node, pnpm } = pinnedVersions();
  const stamp = `node ${node} pnpm ${pnpm} ${process.arch}`;
  if (isStamped("toolchain", stamp) && existsSync(pinnedNode) && existsSync(pinnedPnpm)) return;
  say(`installing Node ${node} and pnpm ${pnpm} into .toolchain/`);
  rmSync(join(toolchain, "node_modules"), { recursive: true, force: true });
  const args = ["install", "--prefix", toolchain, "--no-save", "--no-audit", "--no-fund", "--ignore-scripts=false", "--loglevel=error"];
  await run("npm", [...args, `node@${node}`, `pnpm@${pnpm}`], {
    cure: "npm must reach its registry; check the network or proxy settings, then run the same command again.",
  });
  const version = probe(pinnedNode, ["--version"]);
  if (version !== `v${node}`)
    throw new SetupProblem(
      `the Node in .toolchain/ says ${version ?? "nothing"} instead of v${node}`,
      "Run: rm -rf .toolchain, then the same command again.",
    );
  writeStamp("toolchain", stamp);
}
