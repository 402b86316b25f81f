/** `cfs bench PATH`: the well-known figures of any mounted file system. */
import { performance } from "node:perf_hooks";
import { type Command, Option } from "commander";
import { type BenchOptions, type Figure, blockBytes, transferBytes } from "../bench/plan.ts";
import { runBenchSteps } from "../bench/run.ts";
import { formatBytes, formatCount, formatDuration, formatLatency, formatThroughput } from "../format.ts";
import type { Ui } from "../output.ts";
import { countBetween, flag, parseSize, UsageError, parsePath } from "../parse.ts";
import { newCommand } from "./command.ts";

const defaults = { sizeBytes: 256 * 1024 * 1024, fileCount: 1000, threadCount: 8, seconds: 3 } as const;

function parseFileSize(text: string): number {
  const bytes = parseSize(text);
  if (bytes < transferBytes || bytes % blockBytes !== 0) throw new UsageError(`"${text}" is not a multiple of 4K of at least 1M`);
  return Math.ceil(bytes / transferBytes) * transferBytes;
}

function row(figure: Figure): readonly string[] {
  const value = figure.unit === "MB/s" ? formatThroughput(figure.value * 1e6) : `${formatCount(figure.value)} /s`;
  const { latencyUs } = figure;
  const latencies = latencyUs === null ? ["", "", ""] : [latencyUs.p50, latencyUs.p99, latencyUs.max].map(formatLatency);
  return [figure.name, String(figure.threads), value, ...latencies, figure.how ?? ""];
}

export async function runBench(options: BenchOptions, ui: Ui): Promise<void> {
  const beganMs = performance.now();
  ui.print(`${options.path}: one file of ${formatBytes(options.sizeBytes)}, ${formatCount(options.fileCount)} small files per thread`);
  const clear = ui.stderr.isTerminal ? "\r\u001B[K" : "";
  const figures = await runBenchSteps(options, {
    signal: ui.signal,
    onStep: (name) => {
      if (ui.stderr.isTerminal && !ui.isJson) ui.stderr.write(`${clear}${name} …`);
    },
    onFigure: () => {
      if (ui.stderr.isTerminal && !ui.isJson) ui.stderr.write(clear);
    },
  });
  const seconds = (performance.now() - beganMs) / 1000;
  ui.result({ options, tookSeconds: seconds, figures }, () => {
    const columns = [
      { title: "step" },
      ...["threads", "result", "p50", "p99", "max"].map((title) => ({ title, align: "right" as const })),
      { title: "" },
    ];
    ui.table(columns, figures.map(row));
    ui.print(ui.paint("dim", `took ${formatDuration(seconds)}; compare only figures of one machine at the same durability`));
  });
}

interface BenchFlags {
  readonly size: number;
  readonly files: number;
  readonly threads: number;
  readonly seconds: number;
}

export function benchCommand(ui: Ui): Command {
  return newCommand({
    name: "bench",
    description: "measure a mounted file system: large file, random blocks, small files",
    examples: [
      ["cfs bench ./mnt", "about 20 seconds, leaves nothing behind"],
      ["cfs bench /tmp --size 1G --threads 16", "the local disk, for comparison"],
      ["cfs bench ./mnt --json > before.json", "figures for a script"],
    ],
  })
    .argument("<path>", "a directory of the file system to measure", flag(parsePath))
    .addOption(new Option("--size <size>", "size of the large file").argParser(flag(parseFileSize)).default(defaults.sizeBytes, "256M"))
    .option("--files <count>", "small files per thread", flag(countBetween(1, 1_000_000)), defaults.fileCount)
    .option("--threads <count>", "threads of the parallel steps", flag(countBetween(1, 64)), defaults.threadCount)
    .option("--seconds <count>", "length of each random step", flag(countBetween(1, 3600)), defaults.seconds)
    .action(async (path: string, flags: BenchFlags) => {
      await runBench({ path, sizeBytes: flags.size, fileCount: flags.files, threadCount: flags.threads, seconds: flags.seconds }, ui);
    });
}
