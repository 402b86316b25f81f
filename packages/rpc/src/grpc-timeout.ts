/**
 * The `grpc-timeout` header: at most 8 digits and a unit. Source: the gRPC over HTTP/2 protocol description.
 */
import { CfsError } from "@cfs/core";

const msByUnit: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

export function formatGrpcTimeout(timeoutMs: number): string {
  const wholeMs = Math.max(1, Math.ceil(timeoutMs));
  return wholeMs < 1e8 ? `${wholeMs}m` : `${Math.min(99_999_999, Math.ceil(wholeMs / 1000))}S`;
}

/** Milliseconds, at least 1; null when there is no header and so no deadline. */
export function parseGrpcTimeout(header: string | readonly string[] | undefined): number | null {
  if (header === undefined) return null;
  const parts = /^(\d{1,8})([HMSmun])$/.exec(String(header));
  if (parts === null) throw new CfsError("INVALID", `grpc-timeout is ${JSON.stringify(String(header))}, not at most 8 digits and a unit`);
  return Math.max(1, Number(parts[1]) * (msByUnit[parts[2] as string] as number));
}
