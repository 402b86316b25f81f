/**
 * What each drive remembers of all drives of its node: DRIVE/drives.json, the same on every drive that is in service.
 *
 *   { "format": 1, "sequence": 7, "nodeId": 32 hex, "drives": [{ "driveId": 32 hex, "path": "/srv/d1", "state": "member" | "removed" }] }
 *
 * Why: drives come and go while the server runs, and the command line of the next start knows nothing of it. The table in the state says what
 * counts; the book says where a drive was last seen, before the state can be opened. It is a hint: every drive still proves its identity.
 * The book with the highest sequence wins; one that cannot be read counts as none.
 */
import { open, readFile, rename } from "node:fs/promises";
import type { Logger } from "@cfs/core";
import { CfsError } from "@cfs/core";

export const bookName = "drives.json";
const bookFormat = 1;

export interface BookEntry {
  readonly driveId: string;
  /** Absolute. */
  readonly path: string;
  readonly state: "member" | "removed";
}

export interface DriveBook {
  readonly sequence: number;
  readonly nodeId: string;
  readonly drives: readonly BookEntry[];
}

/** Null when the text is no book of this format. */
export function parseBook(text: string): DriveBook | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // A hint that cannot be read is no hint.
    return null;
  }
  const { format, sequence, nodeId, drives } = (value ?? {}) as Readonly<Record<string, unknown>>;
  if (format !== bookFormat || typeof sequence !== "number" || typeof nodeId !== "string" || !Array.isArray(drives)) return null;
  const entries = drives.flatMap((entry: unknown): BookEntry[] => {
    const { driveId, path, state } = (entry ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof driveId !== "string" || typeof path !== "string" || (state !== "member" && state !== "removed")) return [];
    return [{ driveId, path, state }];
  });
  return { sequence, nodeId, drives: entries };
}

/** The newest book of the node that the directories hold; null when none has one. */
export async function readBook(paths: readonly string[], nodeId: string): Promise<DriveBook | null> {
  let newest: DriveBook | null = null;
  for (const path of paths) {
    const text = await readFile(`${path}/${bookName}`, "utf8").catch(() => null);
    const book = text === null ? null : parseBook(text);
    if (book !== null && book.nodeId === nodeId && book.sequence > (newest?.sequence ?? -1)) newest = book;
  }
  return newest;
}

/** Writes the book to every directory, each atomically. A drive that cannot take it is told and left: its own failure is noticed elsewhere. */
export async function writeBook(paths: readonly string[], book: DriveBook, logger: Logger): Promise<void> {
  const text = `${JSON.stringify({ format: bookFormat, ...book }, null, 2)}\n`;
  await Promise.all(
    paths.map((path) =>
      writeOne(path, text).catch((reason: unknown) => {
        logger.warn("a drive did not take the list of drives", { path, reason: CfsError.from(reason).message });
      }),
    ),
  );
}

async function writeOne(path: string, text: string): Promise<void> {
  const temporary = `${path}/${bookName}.tmp`;
  const file = await open(temporary, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(temporary, `${path}/${bookName}`);
}
