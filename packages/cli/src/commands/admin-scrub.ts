/** `cfs admin scrub`: the server reads and verifies every fragment, repairs what is wrong, and names the files concerned. Ctrl-C stops it. */
import { shownText } from "@cfs/core";
import type { ScrubProgress } from "@cfs/rpc";
import type { Command } from "commander";
import { type ServerFlags, serverOption, withAdmin } from "../admin-client.ts";
import { exitCodes } from "../exit.ts";
import { formatBytes, formatCount } from "../format.ts";
import type { Ui } from "../output.ts";
import { flag, parseSize } from "../parse.ts";
import { Progress } from "../progress.ts";
import type { Ended } from "../program.ts";
import { newCommand } from "./command.ts";

interface ScrubFlags extends ServerFlags {
  readonly drive?: string;
  readonly rate?: number;
}

/** True when everything is right now: nothing was wrong, or all of it is repaired. */
export async function runScrub({ server, drive, rate }: ScrubFlags, ui: Ui): Promise<boolean> {
  return withAdmin(server, ui, async (admin) => {
    const findings: string[] = [];
    let last: ScrubProgress | null = null;
    let progress: Progress | null = null;
    try {
      for await (const step of admin.scrub({ driveId: drive ?? "", bytesPerSecondMax: rate ?? 0 })) {
        last = step;
        progress ??= new Progress(ui, { label: "scrub", unit: "bytes", total: step.bytesTotal });
        progress.update(step.bytesChecked);
        if (step.findings.length > 0) progress.end();
        for (const finding of step.findings) ui.print(`${ui.paint("yellow", "!")} ${shownText(finding)}`);
        findings.push(...step.findings);
      }
    } finally {
      progress?.end();
    }
    const { bytesChecked, fragmentsChecked, fragmentsBad, fragmentsRepaired } = last ?? {
      bytesChecked: 0,
      fragmentsChecked: 0,
      fragmentsBad: 0,
      fragmentsRepaired: 0,
    };
    ui.result({ bytesChecked, fragmentsChecked, fragmentsBad, fragmentsRepaired, findings }, () => {
      ui.print(
        `${formatCount(fragmentsChecked)} fragments (${formatBytes(bytesChecked)}) read: ${fragmentsBad === 0 ? "all are right" : `${formatCount(fragmentsBad)} wrong or missing, ${formatCount(fragmentsRepaired)} repaired`}`,
      );
    });
    return fragmentsBad === fragmentsRepaired;
  });
}

export function adminScrubCommand(ui: Ui, ended: Ended): Command {
  return newCommand({
    name: "scrub",
    description: "read and verify everything, repair what is wrong, name the files concerned",
    examples: [
      ["cfs admin scrub", "with progress; exit code 3 when something could not be repaired"],
      ["cfs admin scrub --rate 50M", "gently: 50 MiB a second"],
      ["cfs admin scrub --drive 3f2a91bc", "what lies on one drive"],
    ],
  })
    .addOption(serverOption())
    .option("--drive <drive>", "only this drive: the first digits of its id, or its directory")
    .option("--rate <size>", "bytes per second at most (default: as fast as the drives)", flag(parseSize))
    .action(async (flags: ScrubFlags) => {
      if (!(await runScrub(flags, ui))) ended.exitCode = exitCodes.unhealthy;
    });
}
