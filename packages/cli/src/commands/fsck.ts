/** `cfs fsck`: the server proves that names, extents, reference counts and fragments agree. Reads only, unless `--repair`. */
import { shownText } from "@cfs/core";
import type { FsckProgress } from "@cfs/rpc";
import type { Command } from "commander";
import { type ServerFlags, serverOption, withAdmin } from "../admin-client.ts";
import { exitCodes } from "../exit.ts";
import { formatCount } from "../format.ts";
import type { Ui } from "../output.ts";
import { Progress } from "../progress.ts";
import type { Ended } from "../program.ts";
import { newCommand } from "./command.ts";

interface FsckFlags extends ServerFlags {
  readonly repair?: true;
}

/** True when everything agrees, or was made to. */
export async function runFsck({ server, repair }: FsckFlags, ui: Ui): Promise<boolean> {
  return withAdmin(server, ui, async (admin) => {
    const findings: string[] = [];
    let last: FsckProgress | null = null;
    let progress: Progress | null = null;
    let phase = "";
    try {
      for await (const step of admin.fsck({ repair: repair ?? false })) {
        last = step;
        if (step.phase !== phase || progress === null) {
          progress?.end();
          ({ phase } = step);
          progress = new Progress(ui, { label: phase, unit: "items", total: step.itemsTotal === 0 ? null : step.itemsTotal });
        }
        progress.update(step.itemsChecked);
        if (step.findings.length > 0) progress.end();
        for (const finding of step.findings) ui.print(`${ui.paint("yellow", "!")} ${shownText(finding)}`);
        findings.push(...step.findings);
      }
    } finally {
      progress?.end();
    }
    const { problemsFound, problemsRepaired } = last ?? { problemsFound: 0, problemsRepaired: 0 };
    ui.result({ problemsFound, problemsRepaired, findings, isClean: problemsFound === problemsRepaired }, () => {
      if (problemsFound === 0) ui.print("clean: names, extents, references and fragments agree");
      else ui.print(`${formatCount(problemsFound)} problem${problemsFound === 1 ? "" : "s"}, ${formatCount(problemsRepaired)} repaired`);
    });
    return problemsFound === problemsRepaired;
  });
}

export function fsckCommand(ui: Ui, ended: Ended): Command {
  return newCommand({
    name: "fsck",
    description: "check that names, extents, references and fragments agree",
    examples: [
      ["cfs fsck", "online and read-only; exit code 0 clean, 3 problems"],
      ["cfs fsck --repair", "mend what can be mended safely"],
    ],
  })
    .addOption(serverOption())
    .option("--repair", "mend what can be mended safely")
    .action(async (flags: FsckFlags) => {
      if (!(await runFsck(flags, ui))) ended.exitCode = exitCodes.unhealthy;
    });
}
