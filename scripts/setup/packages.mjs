/** The packages of the workspace, exactly as pnpm-lock.yaml names them. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { contentStamp, filesBelow, isStamped, pinnedPnpm, pinnedVersions, root, run, say, writeStamp } from "./step.mjs";

export async function installPackages() {
  const manifests = [
    ...filesBelow(join(root, "packages"), (path) => path.endsWith("/package.json")),
    join(root, "native", "package.json"),
    join(root, "package.json"),
  ];
  const files = [...manifests, join(root, "pnpm-lock.yaml"), join(root, "pnpm-workspace.yaml")];
  const stamp = contentStamp(files, `node ${pinnedVersions().node} ${process.arch}`);
  if (isStamped("packages", stamp) && existsSync(join(root, "node_modules", ".modules.yaml"))) return;
  say("installing packages");
  await run(pinnedPnpm, ["install", "--frozen-lockfile", "--config.confirm-modules-purge=false"], {
    cure: "If the lock file is out of date, run: .toolchain/node_modules/.bin/pnpm install",
  });
  writeStamp("packages", stamp);
}
