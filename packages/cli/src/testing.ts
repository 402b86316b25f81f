/** A Ui whose terminals are memory and whose clock is moved by hand, for the tests of this package. */
import { Ui, type UiParts } from "./output.ts";

export interface MemoryUi {
  readonly parts: UiParts;
  readonly ui: Ui;
  readonly abort: () => void;
  readonly advance: (milliseconds: number) => void;
  readonly outText: () => string;
  readonly errText: () => string;
}

export function memoryUi(options: { readonly isTerminal?: boolean; readonly env?: Record<string, string> }): MemoryUi {
  const text = { out: "", err: "" };
  const controller = new AbortController();
  let nowMs = 0;
  const terminal = (name: "out" | "err") => ({
    write: (chunk: string) => {
      text[name] += chunk;
    },
    isTerminal: options.isTerminal ?? false,
    columns: 100,
  });
  const parts: UiParts = {
    stdout: terminal("out"),
    stderr: terminal("err"),
    env: options.env ?? {},
    signal: controller.signal,
    nowMs: () => nowMs,
  };
  return {
    parts,
    ui: new Ui(parts),
    abort: () => controller.abort(),
    advance: (milliseconds) => {
      nowMs += milliseconds;
    },
    outText: () => text.out,
    errText: () => text.err,
  };
}
