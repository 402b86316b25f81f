/** `cfs umount`: takes a mount away, and waits until everything that was written there is on the server. */
import { shownText } from "@cfs/core";
import { unmountCfs } from "@cfs/client";
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import type { Ui } from "../output.ts";
import { flag, parseDuration, parsePath } from "../parse.ts";
import { newCommand } from "./command.ts";

interface UmountFlags {
  readonly lazy?: true;
  readonly timeout: number;
}

export async function runUmount(mountpoint: string, flags: UmountFlags, ui: Ui): Promise<void> {
  await unmountCfs(mountpoint, {
    lazy: flags.lazy ?? false,
    timeoutMs: flags.timeout,
    signal: ui.signal,
    onWaiting: (remark) => ui.note(`  ${shownText(remark)}`),
  });
  ui.result({ mountpoint: resolve(mountpoint) }, () => undefined);
}

export function umountCommand(ui: Ui): Command {
  return newCommand({
    name: "umount",
    description: "unmount, and wait until everything is on the server",
    examples: [
      ["cfs umount ./mnt", "silent when all went well"],
      ["cfs umount --lazy /mnt/cfs", "take it out of the tree now, even when it is in use"],
    ],
  })
    .argument("<mountpoint>", "where it is mounted", flag(parsePath))
    .option("--lazy", "take it out of the tree now; it ends when the last user is gone")
    .addOption(
      new Option("--timeout <duration>", "how long to wait for what is not on the server yet")
        .argParser(flag(parseDuration))
        .default(60_000, "60s"),
    )
    .action(async (mountpoint: string, flags: UmountFlags) => runUmount(mountpoint, flags, ui));
}
