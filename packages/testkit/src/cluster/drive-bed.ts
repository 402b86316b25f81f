/**
 * The drives of a testbed: plain directories, or small file systems of their own that can fill up and fail for real.
 *
 * A `loop` drive is ext4 on a sparse file; it can be shut down (every access fails with EIO, as on a drive that was pulled out) and made read-only.
 * A `tmpfs` drive is for machines without loop devices; it can fill up only. Needs root for both.
 */
import { mkdir, rename, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./program.ts";

export const driveKinds = ["directory", "loop", "tmpfs"] as const;
export type DriveKind = (typeof driveKinds)[number];

const commandTimeoutMs = 60_000;

async function must(file: string, args: readonly string[]): Promise<void> {
  const { code, stderr } = await run(file, args, { timeoutMs: commandTimeoutMs });
  if (code !== 0) throw new Error(`${file} ${args.join(" ")} failed (${code}): ${stderr.trim()}`);
}

async function canMountLoop(): Promise<boolean> {
  const { code } = await run("bash", ["-c", "losetup -f && command -v mkfs.ext4"], { timeoutMs: commandTimeoutMs });
  return code === 0;
}

/** Null when drives of this kind can be made here, otherwise why not. */
export async function whyNoDrives(kind: DriveKind): Promise<string | null> {
  if (kind === "directory") return null;
  if (process.geteuid?.() !== 0) return `${kind} drives need root`;
  if (kind === "loop" && !(await canMountLoop())) return "no free loop device, or no mkfs.ext4";
  return null;
}

/** One drive: `path` is what is given to the server as --data. */
export class TestDrive {
  readonly path: string;
  readonly kind: DriveKind;
  readonly #image: string;
  #layers = 0;

  private constructor(path: string, kind: DriveKind, image: string) {
    this.path = path;
    this.kind = kind;
    this.#image = image;
  }

  static async make(base: string, name: string, kind: DriveKind, sizeBytes: number): Promise<TestDrive> {
    const drive = new TestDrive(join(base, name), kind, join(base, `${name}.img`));
    await mkdir(drive.path);
    if (kind === "tmpfs") await must("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes}`, "cfs-test", drive.path]);
    if (kind === "loop") {
      await writeFile(drive.#image, "");
      await truncate(drive.#image, sizeBytes);
      await must("mkfs.ext4", ["-q", "-m", "0", "-E", "lazy_itable_init=1,nodiscard", drive.#image]);
      await must("mount", ["-o", "loop", drive.#image, drive.path]);
      await must("rmdir", [join(drive.path, "lost+found")]);
    }
    return drive;
  }

  /** Loop drives only: every access to the file system fails with EIO from now on, open files included. EXT4_IOC_SHUTDOWN, without flushing. */
  async shutDown(): Promise<void> {
    const ioctl = "open(my $d, '<', $ARGV[0]) or die $!; my $how = pack('L', 2); ioctl($d, 0x8004587d, $how) or die $!";
    await must("perl", ["-e", ioctl, this.path]);
  }

  /** Loop drives only: the file system becomes read-only under the open files, as ext4 does by itself after an error. */
  makeReadOnly(): Promise<void> {
    return must("mount", ["-o", "remount,abort", this.path]);
  }

  /** An empty directory stands where the drive was: what is open stays open, what is opened anew is not there. */
  async hideBehindTmpfs(): Promise<void> {
    await must("mount", ["-t", "tmpfs", "-o", "size=64m", "cfs-test-empty", this.path]);
    this.#layers++;
  }

  /** The directory is moved away; only for `directory` drives. */
  async moveAway(): Promise<string> {
    await rename(this.path, `${this.path}.away`);
    return `${this.path}.away`;
  }

  async moveBack(): Promise<void> {
    await rename(`${this.path}.away`, this.path);
  }

  /** Takes away what hides the drive, and mounts a loop drive afresh. */
  async bringBack(): Promise<void> {
    for (; this.#layers > 0; this.#layers--) await must("umount", ["-l", this.path]);
    if (this.kind !== "loop") return;
    await must("umount", ["-l", this.path]);
    await must("mount", ["-o", "loop", this.#image, this.path]);
  }
}
