/** What a writer does, one line of its manifest each. Paths are relative to the writer's own directory, "" is that directory. */

export type Operation =
  | { readonly type: "create"; readonly path: string }
  /** `append` opens with O_APPEND (the offset is the size then), `dsync` with O_DSYNC, which acknowledges the write like an fsync. */
  | {
      readonly type: "write";
      readonly path: string;
      readonly offset: number;
      readonly length: number;
      readonly seed: number;
      readonly how: "plain" | "append" | "dsync";
    }
  | { readonly type: "truncate"; readonly path: string; readonly size: number }
  | { readonly type: "fsync"; readonly path: string }
  | { readonly type: "fsyncdir"; readonly path: string }
  | { readonly type: "read"; readonly path: string }
  | { readonly type: "rename"; readonly from: string; readonly to: string }
  | { readonly type: "link"; readonly from: string; readonly to: string }
  | { readonly type: "unlink"; readonly path: string }
  | { readonly type: "symlink"; readonly path: string; readonly target: string }
  | { readonly type: "mkdir"; readonly path: string }
  | { readonly type: "rmdir"; readonly path: string };

/** One line of a manifest: `begin` stands before the operation is tried, `end` after it returned. An error is an errno name or a sentence. */
export type ManifestLine =
  | { readonly begin: number; readonly operation: Operation }
  | { readonly end: number; readonly error: string | null };

export interface ManifestEntry {
  readonly operation: Operation;
  /** `running`: it had not returned when the manifest ended. */
  readonly state: "done" | "failed" | "running";
  readonly error: string | null;
}

/** A torn last line is what a killed writer may leave; it says nothing. */
export function parseManifest(text: string): ManifestEntry[] {
  const entries: ManifestEntry[] = [];
  const lines = text.split("\n");
  lines.pop();
  for (const line of lines) {
    const parsed = JSON.parse(line) as ManifestLine;
    if ("begin" in parsed) entries.push({ operation: parsed.operation, state: "running", error: null });
    else {
      const last = entries.pop();
      if (last === undefined) throw new Error("a manifest begins with an operation");
      entries.push({ operation: last.operation, state: parsed.error === null ? "done" : "failed", error: parsed.error });
    }
  }
  return entries;
}
