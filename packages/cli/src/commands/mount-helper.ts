/**
 * `cfs mount-helper`: what /sbin/mount.fuse.cfs (deploy/mount.fuse.cfs) runs for mount(8) and fstab. Silent when all goes well.
 *
 * Flags that the kernel keeps by itself (noexec, noatime, a later ro or rw) are set by a remount of mount(8) with `-i`, which does not
 * call this helper again.
 */
import { CfsError, mountAt, placeOf, shellWord } from "@cfs/core";
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import type { Command } from "commander";
import { type HelperRequest, parseHelperArguments } from "../mount-helper-options.ts";
import type { Ui } from "../output.ts";
import { mountCfs, queryMount } from "@cfs/client";
import { newCommand } from "./command.ts";
import { mountOptions } from "./mount.ts";

function remount(request: HelperRequest): void {
  const flags = [
    "remount",
    request.readOnly ? "ro" : "rw",
    request.dev ? "dev" : "nodev",
    request.suid ? "suid" : "nosuid",
    ...request.kernelFlags,
  ];
  const { status, stderr, error } = spawnSync("mount", ["-i", "-o", flags.join(","), request.mountpoint], {
    encoding: "utf8",
    timeout: 10_000,
  });
  if (status === 0) return;
  const why = stderr === "" || stderr === null ? (error?.message ?? `exit code ${status ?? "none"}`) : stderr.trim().replaceAll("\n", " ");
  throw new CfsError("NOT_PERMITTED", `${request.mountpoint} cannot be remounted with ${flags.join(",")}: ${why}`);
}

/** The kernel would take `rw`, and then every write fails: the worker of a mount that began read-only changes nothing, not even access times. */
async function mustBeWritable(mountpoint: string): Promise<void> {
  const mount = mountAt(placeOf(resolve(mountpoint)).path);
  const answer = mount?.type === "fuse.cfs" ? await queryMount(mount) : null;
  if (answer?.kind !== "answers" || !answer.status.readOnly) return;
  throw new CfsError("READ_ONLY", `${mountpoint} was mounted read-only and cannot be remounted for writing`, {
    details: { next: `unmount it, then mount it without ro: umount ${shellWord(mountpoint)}` },
  });
}

export async function runMountHelper(request: HelperRequest, ui: Pick<Ui, "signal">): Promise<void> {
  if (request.isFake) return;
  if (request.isRemount) {
    if (!request.readOnly) await mustBeWritable(request.mountpoint);
    return remount(request);
  }
  const { server, mountpoint, dev, suid, cacheMode, logLevel } = request;
  const isRoot = process.getuid?.() === 0;
  const options = mountOptions(mountpoint, {
    server,
    dev: dev && isRoot,
    suid: suid && isRoot,
    cacheMode,
    logLevel,
    ...(request.readOnly ? { ro: true } : {}),
    ...(request.allowOther === null ? {} : { allowOther: request.allowOther }),
    ...(request.uid === null ? {} : { uid: request.uid }),
    ...(request.gid === null ? {} : { gid: request.gid }),
    ...(request.log === null ? {} : { log: request.log }),
  });
  await mountCfs(options, false, ui.signal);
  if (request.kernelFlags.length > 0) remount(request);
}

/** The words behind the name are read as mount(8) gives them, not as flags of ours. */
export function mountHelperCommand(ui: Ui): Command {
  return newCommand({
    name: "mount-helper",
    description: "what mount(8) and fstab call as /sbin/mount.fuse.cfs",
    examples: [
      ["ln -s /opt/cfs/deploy/mount.fuse.cfs /sbin/mount.fuse.cfs", "install it, once"],
      ["mount -t fuse.cfs 127.0.0.1:9400 /mnt/cfs -o ro", "then mount(8) knows cfs"],
      ["127.0.0.1:9400 /mnt/cfs fuse.cfs _netdev,nofail 0 0", "a line of /etc/fstab"],
    ],
  })
    .argument("[words...]", "HOST:PORT MOUNTPOINT [-sfnv] [-o options]")
    .allowUnknownOption()
    .action(async (words: readonly string[]) => runMountHelper(parseHelperArguments(words), ui));
}
