/** The native addon: built when a Rust source, a manifest or the compiler has changed. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { contentStamp, filesBelow, isStamped, pinnedNode, probe, root, run, say, writeStamp } from "./step.mjs";

export async function buildNative() {
  const sources = filesBelow(join(root, "native"), (path) => /\.(rs|toml)$|\/Cargo\.lock$|\.[ch]$/.test(path));
  const stamp = contentStamp(
    [...sources, join(root, "scripts", "build-native.ts")],
    `${probe("rustc", ["--version"]) ?? ""} ${process.arch}`,
  );
  if (isStamped("native", stamp) && existsSync(join(root, "native", "cfs.node"))) return;
  say("building the native addon (release mode; the first time takes a few minutes)");
  await run(pinnedNode, [join(root, "scripts", "build-native.ts")], { cure: "The compiler's messages above say what is wrong." });
  writeStamp("native", stamp);
}
