/** Builds the Rust workspace in release mode and puts the addon, and what it was built from, where native/src/binding.ts looks. Use: pnpm native */
import { spawnSync } from "node:child_process";
import { copyFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type * as Native from "@cfs/native";

// By its path: nothing has been compiled or linked yet when the set-up builds the addon.
const { digestOfSources, digestPath } = (await import(new URL("../native/src/addon-sources.ts", import.meta.url).href)) as Pick<
  typeof Native,
  "digestOfSources" | "digestPath"
>;
const workspace = fileURLToPath(new URL("../native/", import.meta.url));
// Before the build: what changes while it runs makes the addon stale.
const digest = digestOfSources(workspace);
const built = spawnSync("cargo", ["build", "--release", "--locked", "--package", "cfs-addon"], { cwd: workspace, stdio: "inherit" });
if (built.error) throw built.error;
if (built.status !== 0) process.exit(built.status ?? 1);
// Replaced by rename, so that a running process keeps the file that it has mapped.
copyFileSync(`${workspace}target/release/libcfs_addon.so`, `${workspace}cfs.node.new`);
// Without a digest in between, so that no digest ever stands beside an addon of other sources.
rmSync(digestPath(workspace), { force: true });
renameSync(`${workspace}cfs.node.new`, `${workspace}cfs.node`);
writeFileSync(digestPath(workspace), digest);
