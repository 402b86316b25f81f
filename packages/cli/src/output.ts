/**
 * What a command prints: lines and tables for people on stdout, remarks on stderr, one JSON document with `--json`.
 *
 * Invariant: with `--json`, stdout holds exactly one JSON value and nothing else, in failure too. Colours appear on a terminal only,
 * and not where NO_COLOR is set (no-color.org) or TERM is "dumb".
 */
import { stripVTControlCharacters } from "node:util";

/** Where text goes: stdout or stderr in the program, memory in tests. */
export interface Terminal {
  write(text: string): void;
  readonly isTerminal: boolean;
  /** Width in characters; 80 where it is not a terminal. */
  readonly columns: number;
}

export type Style = "bold" | "dim" | "red" | "green" | "yellow";
export type Paint = (style: Style, text: string) => string;

const codesByStyle: Readonly<Record<Style, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
};

export function painter(terminal: Terminal, env: Readonly<Record<string, string | undefined>>): Paint {
  const isOn = terminal.isTerminal && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
  if (!isOn) return (_style, text) => text;
  return (style, text) => `\u001B[${codesByStyle[style][0]}m${text}\u001B[${codesByStyle[style][1]}m`;
}

export interface UiParts {
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by SIGINT and SIGTERM: a command then takes back what it began and ends. */
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
}

/** What every command gets to talk to the person or program that called it. */
export class Ui {
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  readonly signal: AbortSignal;
  readonly paint: Paint;
  readonly paintError: Paint;
  readonly nowMs: () => number;
  /** Set before a command runs, when `--json` was given. */
  isJson = false;

  constructor(parts: UiParts) {
    this.stdout = parts.stdout;
    this.stderr = parts.stderr;
    this.signal = parts.signal;
    this.nowMs = parts.nowMs;
    this.paint = painter(parts.stdout, parts.env);
    this.paintError = painter(parts.stderr, parts.env);
  }

  /** A line for people; says nothing with `--json`. */
  print(line = ""): void {
    if (!this.isJson) this.stdout.write(`${line}\n`);
  }

  /** A remark that is not part of the result: stderr, with and without `--json`. */
  note(line: string): void {
    this.stderr.write(`${line}\n`);
  }

  /** The result: `value` as JSON with `--json`, otherwise whatever `show` prints. */
  result(value: unknown, show: () => void): void {
    if (this.isJson) this.stdout.write(`${JSON.stringify(value, jsonValue, 2)}\n`);
    else show();
  }

  table(columns: readonly Column[], rows: readonly (readonly string[])[]): void {
    for (const line of renderTable(columns, rows, this.paint)) this.print(line);
  }
}

/** JSON has no bigint; ids and counters past 2^53 become strings. */
function jsonValue(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

export interface Column {
  readonly title: string;
  /** Numbers read better aligned to the right. Default "left". */
  readonly align?: "left" | "right";
}

function widthOf(text: string): number {
  return Array.from(stripVTControlCharacters(text)).length;
}

/** Lines of a table: titles dimmed, columns two blanks apart, nothing after the last word of a line. */
export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[], paint: Paint): string[] {
  const titles = columns.map((column) => column.title);
  const widths = columns.map((column, index) => Math.max(widthOf(column.title), ...rows.map((row) => widthOf(row[index] ?? ""))));
  const line = (cells: readonly string[]): string =>
    columns
      .map((column, index) => {
        const cell = cells[index] ?? "";
        const blanks = " ".repeat((widths[index] ?? 0) - widthOf(cell));
        return column.align === "right" ? blanks + cell : cell + blanks;
      })
      .join("  ")
      .trimEnd();
  const head = titles.some((title) => title !== "") ? [paint("dim", line(titles))] : [];
  return [...head, ...rows.map(line)];
}
