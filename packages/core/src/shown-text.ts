/**
 * Names of files and mount points in messages: any byte but NUL may be in them, and a line stays a line, a terminal is not told to do things,
 * and a command that is suggested works when it is copied.
 */

const named: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Control characters as escapes: `\n`, `\x1b`. */
export function shownText(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (letter) => named[letter] ?? `\\x${letter.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** As one word of a shell: as it is where that is safe, else quoted. */
export function shellWord(text: string): string {
  if (/^[\w./:@%+,=-]+$/.test(text)) return text;
  if (shownText(text) === text) return `'${text.replaceAll("'", `'\\''`)}'`;
  // bash's own form for names that hold control characters.
  return `$'${shownText(text.replaceAll("\\", "\\\\").replaceAll("'", "\\'"))}'`;
}
