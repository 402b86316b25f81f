/**
 * Opens what the directories of a state store hold and says which copy is the freshest.
 *
 * Invariant: a store is never begun anew where a directory has held, or may hold, something: a copy that is damaged or half filled without a whole
 * one beside it is an error, not an empty store.
 */
import { CfsError } from "@cfs/core";

import { engineOptions } from "./kv-options.ts";
import type { Engine, EngineMaker, KvSettings, MirroredKvListener, MirroredKvParts } from "./kv-options.ts";
import type { Marker } from "./level-engine.ts";

export interface Found {
  readonly directory: string;
  /** Null when it could not be opened as it is: it is made anew. */
  readonly engine: Engine | null;
  readonly marker: Marker | null;
}

/** A directory that is damaged is filled again; one that cannot be opened for another reason is no member. */
export async function openAll(
  parts: MirroredKvParts,
  engines: EngineMaker,
  directories: readonly string[],
  listener: MirroredKvListener,
  options: KvSettings,
): Promise<Found[]> {
  // All at once: each reads its own log and tables, and a start waits for the slowest instead of for all.
  const opened = await Promise.all(directories.map((directory, index) => openOne(parts, engines, directory, options, index === 0)));
  const found: Found[] = [];
  let last: CfsError | null = null;
  for (const { directory, engine, marker, error } of opened) {
    if (error === null || error.code === "CORRUPT") found.push({ directory, engine, marker });
    last = error ?? last;
  }
  const refused = opened.find(({ error }) => error?.code === "NOT_SUPPORTED" || error?.code === "BUSY")?.error;
  if (refused || found.every((one) => one.engine === null)) {
    for (const one of found) await one.engine?.close();
    throw refused ?? last ?? new CfsError("IO", "no directory of the state store could be opened");
  }
  for (const { directory, error } of opened) if (error !== null && error.code !== "CORRUPT") listener.onMemberFailed(directory, error);
  return found;
}

/** `isRead`: reads ask this one, so it gets the cache. */
async function openOne(
  parts: MirroredKvParts,
  engines: EngineMaker,
  directory: string,
  options: KvSettings,
  isRead: boolean,
): Promise<Found & { readonly error: CfsError | null }> {
  let engine: Engine | null = null;
  try {
    engine = await engines.open(directory, parts.crc32c, engineOptions(options, isRead));
    return { directory, engine, marker: engine.marker(), error: null };
  } catch (reason) {
    await engine?.close();
    return { directory, engine: null, marker: null, error: CfsError.from(reason) };
  }
}

/** The marker of the freshest whole copy, or that of a store that begins. */
export function freshest(options: KvSettings, found: readonly Found[]): Marker {
  const markers = found.flatMap(({ marker }) => (marker === null ? [] : [marker]));
  const foreign = found.find(({ marker }) => marker !== null && marker.storeId !== options.storeId);
  if (foreign !== undefined) {
    throw new CfsError(
      "INVALID",
      `the state store ${foreign.directory} belongs to ${foreign.marker?.storeId ?? ""}, not to ${options.storeId}; check the data directories`,
    );
  }
  const best = markers.filter((marker) => marker.isComplete).toSorted((a, b) => b.batchNumber - a.batchNumber)[0];
  if (best !== undefined) return best;
  if (markers.length > 0 || found.some((one) => one.engine === null)) {
    const names = found.map((one) => one.directory).join(", ");
    throw new CfsError("CORRUPT", `no whole copy of the state is among ${names}: start with the drive that has one`);
  }
  return { storeId: options.storeId, appliedIndex: 0, batchNumber: 0, isComplete: true };
}
