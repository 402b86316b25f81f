/** `cfs version`: what runs here, for bug reports and for comparing two machines. */
import { readFileSync } from "node:fs";
import { release } from "node:os";
import type { Command } from "commander";
import type { Ui } from "../output.ts";
import { newCommand } from "./command.ts";

export interface VersionReport {
  readonly cfs: string;
  readonly node: string;
  readonly kernel: string;
  readonly architecture: string;
}

/** Read from the package itself, so that there is one place to change at a release. */
export function ownVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { readonly version: string };
  return manifest.version;
}

export function runVersion(ui: Ui): void {
  const report: VersionReport = { cfs: ownVersion(), node: process.versions.node, kernel: release(), architecture: process.arch };
  ui.result(report, () => ui.print(`cfs ${report.cfs} (Node ${report.node}, Linux ${report.kernel}, ${report.architecture})`));
}

export function versionCommand(ui: Ui): Command {
  return newCommand({
    name: "version",
    description: "show the version of cfs, Node and the kernel",
    examples: [
      ["cfs version", "cfs 0.1.0 (Node 26.10.0, Linux 6.18.5, x64)"],
      ["cfs version --json", "the same as fields"],
    ],
  }).action(() => runVersion(ui));
}
