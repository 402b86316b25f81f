/** A testbed of six drives with a write load on its mount, and the steps that the tests of failing drives have in common. */
import { seededRandom } from "@cfs/storage";
import type { Random } from "@cfs/core";
import { type Cluster, type ClusterMount, type ClusterOptions, type TestDrive, withCluster } from "@cfs/testkit";
import { Workload } from "../crash/workload.ts";
import { seed } from "../settings.ts";

export const driveBytes: number = 1 << 30;

export class DrivesRun {
  readonly cluster: Cluster;
  readonly workload: Workload;
  readonly random: Random = seededRandom(seed);
  mount: ClusterMount;

  private constructor(cluster: Cluster, mount: ClusterMount) {
    this.cluster = cluster;
    this.mount = mount;
    this.workload = new Workload(cluster, this.random);
  }

  static async with(options: ClusterOptions & { readonly replay: string }, body: (run: DrivesRun) => Promise<void>): Promise<void> {
    await withCluster({ driveBytes, ...options }, async (cluster) => body(new DrivesRun(cluster, await cluster.mount())));
  }

  /** Two drives: one of the first three, where journal and state lie, and any other. */
  pickTwo(): [TestDrive, TestDrive] {
    const { drives } = this.cluster;
    const first = Math.floor(this.random.next() * 3);
    const second = (first + 1 + Math.floor(this.random.next() * (drives.length - 1))) % drives.length;
    return [this.drive(first), this.drive(second)];
  }

  drive(index: number): TestDrive {
    const drive = this.cluster.drives[index];
    if (drive === undefined) throw new Error(`there is no drive ${index}`);
    return drive;
  }

  /** The drives that are none of `drives`. */
  others(drives: readonly TestDrive[]): TestDrive[] {
    return this.cluster.drives.filter((drive) => !drives.includes(drive));
  }

  /** Works until each writer has written `lines` lines of its manifest, then compares; no writer may have seen an error. */
  async work(lines: number, when: string): Promise<void> {
    await this.workload.begin(this.mount);
    await this.workload.untilProgress(lines);
    await this.workload.endWell();
    await this.workload.expectAll(this.mount, when);
  }

  /** Unmounts and mounts again, so that everything comes from the server, and compares. */
  async compareCold(): Promise<void> {
    await this.mount.umount();
    this.mount = await this.cluster.mount();
    await this.workload.settle(this.mount);
  }

  async restartServer(paths?: readonly string[]): Promise<void> {
    await this.cluster.stopServer();
    await this.cluster.startServer(paths);
  }
}
