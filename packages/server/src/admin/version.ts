/** The version of this server, read from its package, so that there is one place to change at a release. */
import { readFileSync } from "node:fs";

export function ownVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { readonly version: string };
  return manifest.version;
}
