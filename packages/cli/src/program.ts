/**
 * The command tree, and the one way from arguments to an exit code.
 *
 * A command is a file in commands/: it declares its flags and examples, and calls a function `runX(options, ui)` that does the work.
 * To add one, list it in `commands`. Failures of all kinds end here: one line for people, one JSON object with `--json`.
 */
import { shownText } from "@cfs/core";
import { Command, type CommanderError } from "commander";
import { adminCommand } from "./commands/admin.ts";
import { benchCommand } from "./commands/bench.ts";
import { fsckCommand } from "./commands/fsck.ts";
import { mountHelperCommand } from "./commands/mount-helper.ts";
import { mountCommand } from "./commands/mount.ts";
import { serverCommand } from "./commands/server.ts";
import { statusCommand } from "./commands/status.ts";
import { umountCommand } from "./commands/umount.ts";
import { ownVersion, versionCommand } from "./commands/version.ts";
import { describeFailure, exitCodes, type ExitCode, type Failure } from "./exit.ts";
import { Ui, type UiParts } from "./output.ts";
import { UsageError } from "./parse.ts";

/** Makes a command; its action leaves the exit code in `ended`. */
export type CommandFactory = (ui: Ui, ended: Ended) => Command;

/** How the command that ran wants the process to end; `ok` unless it says otherwise. */
export interface Ended {
  exitCode: ExitCode;
}

const commands: readonly CommandFactory[] = [
  serverCommand,
  mountCommand,
  umountCommand,
  statusCommand,
  adminCommand,
  fsckCommand,
  benchCommand,
  versionCommand,
  mountHelperCommand,
];

function buildProgram(ui: Ui, ended: Ended): Command {
  const program = new Command("cfs")
    .description("A POSIX file system from drives and machines.")
    .usage("COMMAND [options]")
    .version(ownVersion(), "-V, --version", "show the version of cfs")
    .helpOption("-h, --help", "show this help, or that of a command")
    .helpCommand("help [command]", "show the help of a command")
    .addHelpText(
      "after",
      "\nEvery command takes --help (with examples) and --json (one JSON value on stdout).\nExit codes: 0 ok, 1 failed, 2 wrong usage, 3 something is not healthy, 130 interrupted.",
    );
  for (const make of commands) program.addCommand(make(ui, ended));
  settle(program, ui, program.name());
  return program;
}

/** What commander says about a wrong command line, as one sentence, and where to look; help and version texts, which it throws too, stay as they are. */
function refuse(path: string, reason: CommanderError): never {
  if (reason.exitCode === 0) throw reason;
  const message = reason.code === "commander.help" ? "a command is missing" : reason.message.replace(/^error: /, "").replaceAll("\n", " ");
  throw new UsageError(message, `see: ${path} --help`);
}

/** The same behaviour for every command of the tree: no exit of its own, texts to the terminals of `ui`, errors that name the command. */
function settle(command: Command, ui: Ui, path: string): void {
  command
    .exitOverride((reason) => refuse(path, reason))
    .configureOutput({
      writeOut: (text) => ui.stdout.write(text),
      // Errors are printed by `report`, in one form for all kinds.
      writeErr: () => undefined,
      getOutHelpWidth: () => Math.min(ui.stdout.columns, 120),
      getErrHelpWidth: () => Math.min(ui.stderr.columns, 120),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  for (const child of command.commands) settle(child, ui, `${path} ${child.name()}`);
}

function report(failure: Failure, ui: Ui): void {
  if (ui.isJson) {
    const { code, message, next } = failure;
    ui.stdout.write(`${JSON.stringify({ error: next === "" ? { code, message } : { code, message, next } }, null, 2)}\n`);
  } else {
    ui.note(`${ui.paintError("red", "cfs:")} ${failure.code}: ${shownText(failure.message)}`);
    if (failure.next !== "") ui.note(`  ${shownText(failure.next)}`);
  }
  if (failure.stack !== null) ui.note(failure.stack);
}

function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end === -1 ? args : args.slice(0, end)).includes("--json");
}

/** `cfs help WORD`: commander shows its own help for a word that is no command, as if none was given. */
function mustKnow(program: Command, args: readonly string[]): void {
  const [first, word] = args;
  if (first !== "help" || word === undefined || word.startsWith("-")) return;
  if (program.commands.some((command) => command.name() === word)) return;
  throw new UsageError(`unknown command '${word}'`, "see: cfs --help");
}

/** Runs `cfs ARGS`. Never throws and never exits the process: the caller uses the exit code. */
export async function runCli(args: readonly string[], parts: UiParts): Promise<ExitCode> {
  const ui = new Ui(parts);
  // Known before commander reads the flags, because a wrong flag must be reported in JSON as well.
  ui.isJson = asksForJson(args);
  const ended: Ended = { exitCode: exitCodes.ok };
  try {
    const program = buildProgram(ui, ended);
    mustKnow(program, args);
    if (args.length === 0) program.outputHelp();
    else await program.parseAsync([...args], { from: "user" });
    return ended.exitCode;
  } catch (reason) {
    const failure = describeFailure(reason);
    if (failure === null) return exitCodes.ok;
    report(failure, ui);
    return failure.exitCode;
  }
}
