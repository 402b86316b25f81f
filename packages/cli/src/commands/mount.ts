/** `cfs mount`: makes the file system of a server appear at a directory. Returns when the first stat works; `--foreground` stays. */
import { listCfsMounts, logLevels, type LogLevel, shownText } from "@cfs/core";
import { type CacheMode, cacheModes, mountCfs, type Mounted, type MountOptions } from "@cfs/client";
import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Command, Option } from "commander";
import { serverOption } from "../admin-client.ts";
import type { Ui } from "../output.ts";
import { type Address, countBetween, flag, formatAddress, parsePath } from "../parse.ts";
import { newCommand } from "./command.ts";
import { parseLogLevel } from "./server.ts";
import type { Ended } from "../program.ts";
import { exitCodes } from "../exit.ts";

/** uid_t without the one that means "unchanged". */
const idMax = 4_294_967_294;

export interface MountFlags {
  readonly server: Address;
  readonly ro?: true;
  /** Default: as root all users, otherwise only the one who mounts. */
  readonly allowOther?: boolean;
  readonly dev: boolean;
  readonly suid: boolean;
  readonly cacheMode: CacheMode;
  readonly uid?: number;
  readonly gid?: number;
  readonly log?: string;
  readonly logLevel: LogLevel;
  readonly foreground?: true;
}

export function mountOptions(mountpoint: string, flags: Omit<MountFlags, "foreground">): MountOptions {
  return {
    server: flags.server,
    mountpoint: resolve(mountpoint),
    readOnly: flags.ro ?? false,
    allowOther: flags.allowOther ?? process.getuid?.() === 0,
    allowDevices: flags.dev,
    allowSetId: flags.suid,
    cacheMode: flags.cacheMode,
    uid: flags.uid ?? null,
    gid: flags.gid ?? null,
    logFile: flags.log === undefined ? null : resolve(flags.log),
    logLevel: flags.logLevel,
  };
}

/** Ctrl-C reaches the worker by itself, SIGTERM only this process: the worker is told when it did not begin to unmount. */
async function stopWorker(mounted: Mounted): Promise<void> {
  await Promise.race([mounted.ended, delay(500)]);
  if (!listCfsMounts().some(({ mountpoint }) => mountpoint === mounted.mountpoint)) return;
  try {
    process.kill(mounted.pid, "SIGTERM");
  } catch (reason) {
    // It ended a moment ago, which is what was wanted.
    if ((reason as NodeJS.ErrnoException).code !== "ESRCH") throw reason;
  }
}

async function untilUnmounted(mounted: Mounted, signal: AbortSignal): Promise<number> {
  const stop = Promise.withResolvers<never>();
  const onAbort = (): void => void stopWorker(mounted).catch(stop.reject);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([mounted.ended, stop.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

export async function runMount(options: MountOptions, isForeground: boolean, ui: Ui): Promise<number> {
  const mounted = await mountCfs(options, isForeground, ui.signal);
  const server = formatAddress(options.server);
  ui.result({ mountpoint: mounted.mountpoint, server, pid: mounted.pid }, () => {
    ui.print(`${server} is mounted at ${shownText(mounted.mountpoint)} (process ${mounted.pid})`);
  });
  return isForeground ? untilUnmounted(mounted, ui.signal) : 0;
}

/** The flags that `cfs mount` and the mount helper share in meaning. */
export function mountCommand(ui: Ui, ended: Ended): Command {
  const isRoot = process.getuid?.() === 0;
  const command = newCommand({
    name: "mount",
    description: "mount the file system of a server",
    examples: [
      ["cfs mount ./mnt", "from the server on this machine"],
      ["cfs mount --server 10.0.0.5:9400 /mnt/cfs", "from another machine; as root for all users"],
      ["cfs mount --ro --log /var/log/cfs.log /mnt/cfs", "read only, with a log"],
      ["mount -t fuse.cfs 10.0.0.5:9400 /mnt/cfs -o ro", "the same by mount(8), with deploy/mount.fuse.cfs in /sbin"],
    ],
  });
  return command
    .argument("<mountpoint>", "an existing directory", flag(parsePath))
    .addOption(serverOption())
    .option("--ro", "read only")
    .option("--allow-other", "other users may use it, as owners, modes and ACLs allow (default as root)")
    .option("--no-allow-other", "only the user who mounts may use it (default without root)")
    .option("--no-dev", "device files do not open devices (as always without root)")
    .option("--no-suid", "set-id bits have no effect (as always without root)")
    .addOption(
      new Option("--cache-mode <mode>", "writeback: the kernel gathers writes; writethrough: each goes to cfs; none: no page cache")
        .choices(cacheModes)
        .default("writeback"),
    )
    .option("--uid <number>", "show and store all files as this user's", flag(countBetween(0, idMax)))
    .option("--gid <number>", "show and store all files as this group's", flag(countBetween(0, idMax)))
    .option("--log <file>", "where the mount logs (default: nowhere, or this terminal with --foreground)", flag(parsePath))
    .option("--log-level <level>", `how much is logged: ${logLevels.join(", ")}`, flag(parseLogLevel), "info")
    .option("--foreground", "stay until it is unmounted; Ctrl-C unmounts")
    .action(async (mountpoint: string, flags: MountFlags) => {
      const options = mountOptions(mountpoint, { ...flags, dev: flags.dev && isRoot, suid: flags.suid && isRoot });
      const code = await runMount(options, flags.foreground ?? false, ui);
      if (code !== 0) ended.exitCode = exitCodes.failed;
    });
}
