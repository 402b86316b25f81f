/** Builds the Rust workspace in release mode and puts the addon where native/src/binding.ts loads it. Use: pnpm native */
import { spawnSync } from "node:child_process";
import { copyFileSync, renameSync } from "node:fs";
import { fileURLToPath } from "node:url";

const workspace = fileURLToPath(new URL("../native/", import.meta.url));
const built = spawnSync("cargo", ["build", "--release", "--locked", "--package", "cfs-addon"], { cwd: workspace, stdio: "inherit" });
if (built.error) throw built.error;
if (built.status !== 0) process.exit(built.status ?? 1);
// Replaced by rename, so that a running process keeps the file that it has mapped.
copyFileSync(`${workspace}target/release/libcfs_addon.so`, `${workspace}cfs.node.new`);
renameSync(`${workspace}cfs.node.new`, `${workspace}cfs.node`);
