/** How every command begins: its name, `--json`, and examples at the end of its help. */
import { Command } from "commander";

export interface CommandText {
  readonly name: string;
  readonly description: string;
  /** Command lines with what they do, shown by `--help`. */
  readonly examples: readonly (readonly [line: string, meaning: string])[];
}

export function newCommand({ name, description, examples }: CommandText): Command {
  const width = Math.max(...examples.map(([line]) => line.length));
  const lines = examples.map(([line, meaning]) => `  ${line.padEnd(width)}  ${meaning}`);
  return new Command(name)
    .description(description)
    .helpOption("-h, --help", "show this help")
    .option("--json", "print the result as one JSON value")
    .addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
}
