/** Sessions hold only inode counts that were given out, and no count belongs to two of them. */
import { sessionKey } from "../keys.ts";
import { decodeSession } from "../system-format.ts";
import type { CheckRun } from "./check.ts";
import { decodeOr, pagesOf } from "./stream.ts";

export async function checkSessions(run: CheckRun): Promise<void> {
  const grants: { begin: number; end: number; owner: string }[] = [];
  for await (const page of pagesOf(run.kv, "C")) {
    for (const entry of page) {
      const session = decodeOr(run, entry, decodeSession);
      if (session === null) continue;
      if (sessionKey(session.clientId) !== entry.key) run.report("session", session.clientId, "lies under another session's key");
      for (const grant of session.grants) grants.push({ ...grant, owner: session.clientId });
    }
  }
  grants.sort((a, b) => a.begin - b.begin);
  grants.forEach((grant, index) => {
    const next = grants[index + 1];
    if (next !== undefined && next.begin < grant.end) run.report("session", grant.owner, `shares inode counts with session ${next.owner}`);
    if (grant.end > run.superblock.nextInodeCount) run.report("session", grant.owner, "holds inode counts that were never given out");
  });
}
