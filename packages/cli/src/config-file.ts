/**
 * The configuration file of `cfs server start --config FILE`: YAML with the long flags as keys.
 *
 *     data: [/srv/drive1, /srv/drive2]   # as --data
 *     listen: 127.0.0.1:9400             # as --listen
 *
 * Invariant: a file is read whole or refused whole; a key that nobody knows is an error with its file, line and the keys there are, because
 * a misspelt key that is silently ignored is found only when it was needed. A flag on the command line goes before the file.
 */
import { readFileSync } from "node:fs";
import { isMap, isScalar, isSeq, LineCounter, type Pair, parseDocument } from "yaml";
import { fromNodeError } from "./node-error.ts";
import { UsageError } from "./parse.ts";

/** How one key is read. `parse` takes the text as written and throws UsageError. */
export interface ConfigKey<T> {
  readonly isList: boolean;
  readonly parse: (text: string) => T;
}

export type ConfigSchema = Readonly<Record<string, ConfigKey<unknown>>>;

type ValueOf<Key> = Key extends { readonly isList: true; readonly parse: (text: string) => infer T }
  ? readonly T[]
  : Key extends ConfigKey<infer T>
    ? T
    : never;

/** What a file may say; keys that it does not name are absent. */
export type ConfigOf<Schema extends ConfigSchema> = { readonly [Name in keyof Schema]?: ValueOf<Schema[Name]> };

/** A key with one value. */
export function single<T>(parse: (text: string) => T): { readonly isList: false; readonly parse: (text: string) => T } {
  return { isList: false, parse };
}

/** A key with a list; a lone value counts as a list of one. */
export function list<T>(parse: (text: string) => T): { readonly isList: true; readonly parse: (text: string) => T } {
  return { isList: true, parse };
}

class ConfigReader {
  readonly #file: string;
  readonly #lines: LineCounter;

  constructor(file: string, lines: LineCounter) {
    this.#file = file;
    this.#lines = lines;
  }

  /** An error that names file and line; `node` is any part of the document. */
  error(node: unknown, message: string): UsageError {
    const offset = (node as { readonly range?: readonly [number, number, number] | null } | null)?.range?.[0];
    const line = offset === undefined ? "" : `:${this.#lines.linePos(offset).line}`;
    return new UsageError(`${this.#file}${line}: ${message}`);
  }

  #scalar(name: string, node: unknown, parse: (text: string) => unknown): unknown {
    if (!isScalar(node) || node.value === null) throw this.error(node, `"${name}" wants a value here`);
    try {
      // As written, so that 0644 and 1e3 reach the parser unchanged.
      return parse(node.source ?? JSON.stringify(node.value));
    } catch (reason) {
      if (reason instanceof UsageError) throw this.error(node, `"${name}": ${reason.message}`);
      throw reason;
    }
  }

  value(name: string, key: ConfigKey<unknown>, pair: Pair): unknown {
    const node = pair.value;
    if (!key.isList) {
      if (isSeq(node)) throw this.error(node, `"${name}" wants one value, not a list`);
      return this.#scalar(name, node ?? pair.key, key.parse);
    }
    if (isSeq(node)) return node.items.map((item) => this.#scalar(name, item, key.parse));
    return [this.#scalar(name, node ?? pair.key, key.parse)];
  }
}

/** `file` is used in messages only. */
export function parseConfig<Schema extends ConfigSchema>(text: string, file: string, schema: Schema): ConfigOf<Schema> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false });
  const reader = new ConfigReader(file, lines);
  const [problem] = document.errors;
  if (problem !== undefined) throw reader.error({ range: [problem.pos[0]] }, problem.message);
  const { contents } = document;
  if (contents === null) return {};
  if (!isMap(contents)) throw reader.error(contents, "expected lines of the form KEY: VALUE");
  const known = Object.keys(schema);
  const values: Record<string, unknown> = {};
  for (const pair of contents.items) {
    const name = isScalar(pair.key) ? String(pair.key.value) : "";
    const key = Object.hasOwn(schema, name) ? schema[name] : undefined;
    if (key === undefined) throw reader.error(pair.key, `unknown key "${name}"; known are ${known.join(", ")}`);
    values[name] = reader.value(name, key, pair);
  }
  return values as ConfigOf<Schema>;
}

/** Reads and parses a file; a file that cannot be read is a CfsError that names it. */
export function readConfig<Schema extends ConfigSchema>(file: string, schema: Schema): ConfigOf<Schema> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (reason) {
    throw fromNodeError(reason, `the configuration file ${file}`);
  }
  return parseConfig(text, file, schema);
}
