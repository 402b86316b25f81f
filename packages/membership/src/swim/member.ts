/**
 * What a cluster knows about one member, and what members claim about each other.
 *
 * A claim is ordered first by the incarnation, which only the member itself raises, then by the state: alive < suspect < dead < left. The greater claim wins
 * everywhere, so tables that have seen the same claims are equal, in whatever order those came (a join semilattice).
 *
 * Source: Das, Gupta, Motivala: SWIM (DSN 2002), section 4.2. Two differences: a dead member comes back with a higher incarnation, and leaving is a
 * state of its own, above dead, so that a leave that races with a failed probe is still a leave.
 */

/** Rank of the states at one incarnation; also their number on the wire. */
export const stateRanks = { alive: 0, suspect: 1, dead: 2, left: 3 } as const;
export type MemberState = keyof typeof stateRanks;

/** What a member says about itself; it changes only together with the incarnation. Encoded at most `limits.metadataBytesMax` bytes. */
export interface Metadata {
  /** Where the node stands, for placement: `{ rack: "r7" }`. Up to 16 of them, keys of up to 32 and values of up to 64 printable ASCII characters. */
  readonly labels: Readonly<Record<string, string>>;
  /** All its drives together; 0 when it holds no data. */
  readonly capacityBytes: number;
  /** Bit set of what this build can do: a safe integer, bit n is 2^n. */
  readonly features: number;
}

/** One member as this node sees it now. Never changed in place: a new object for each change. */
export interface Member {
  /** Unique in the cluster and kept over restarts: the node id. 1 to 64 printable ASCII characters without spaces. */
  readonly name: string;
  readonly state: MemberState;
  /** From 1; raised only by the member itself: to refute, to change its metadata, to leave, to come back. */
  readonly incarnation: number;
  /** The life of the process (and of its packet counters): 16 hex digits, drawn anew at each start; empty in a tombstone that was never met alive. */
  readonly session: string;
  /** Where its packets go, `host:port`; empty in a tombstone that was never met alive. */
  readonly address: string;
  readonly metadata: Metadata;
}

/** A copy that nobody else can change: what a member has announced stays as it was until the next incarnation. */
export function ownMetadata({ labels, capacityBytes, features }: Metadata): Metadata {
  return Object.freeze({ labels: Object.freeze({ ...labels }), capacityBytes, features });
}

export const noMetadata: Metadata = { labels: {}, capacityBytes: 0, features: 0 };

/** The order of claims: incarnation, then rank of the state. */
export interface Claim {
  readonly incarnation: number;
  readonly state: MemberState;
}

export function isActive(state: MemberState): boolean {
  return state === "alive" || state === "suspect";
}

export function sameMetadata(one: Metadata, other: Metadata): boolean {
  if (one.capacityBytes !== other.capacityBytes || one.features !== other.features) return false;
  const keys = Object.keys(one.labels);
  return keys.length === Object.keys(other.labels).length && keys.every((key) => one.labels[key] === other.labels[key]);
}
