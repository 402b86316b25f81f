/** The ordered key-value store on one LevelDB directory: a mirrored one with a single member, for tests, tools and nodes with one drive. */
import { CfsError } from "@cfs/core";

import type { MirroredKvParts } from "./kv-options.ts";
import { MirroredKv } from "./mirrored-kv.ts";

export async function openLevelKv(parts: MirroredKvParts, directory: string, storeId: string): Promise<MirroredKv> {
  const failures: Error[] = [];
  const listener = { onMemberFailed: (_: string, error: Error) => void failures.push(error), onResync: () => undefined };
  try {
    return await MirroredKv.open(parts, [directory], listener, { storeId });
  } catch (reason) {
    throw failures.length === 0
      ? reason
      : new CfsError(CfsError.from(failures[0]).code, CfsError.from(failures[0]).message, { cause: reason });
  }
}
