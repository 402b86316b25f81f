/**
 * Membership as the rest of the program sees it: who is there, what they say about themselves, and named values that everybody shall have.
 *
 * SwimAgent is the implementation. Everything it needs of the machine is in its parts: Clock, Random, PacketNetwork, Aead.
 */
import type { SwimCounters, SwimEvent } from "./swim/events.ts";
import type { Member, Metadata } from "./swim/member.ts";

export interface MembershipStatus {
  readonly phase: "alone" | "joining" | "joined" | "leaving" | "stopped";
  readonly self: Member;
  /** Local health: 0 is well, each step makes probes slower by one interval. */
  readonly awareness: number;
  /** Updates that wait to be gossiped; 0 in a quiet cluster; what a lone node knows waits for somebody to tell. */
  readonly queued: number;
  readonly counters: Readonly<SwimCounters>;
}

export interface Membership extends AsyncDisposable {
  /** Begins to answer and to probe; a cluster of one until `join`. */
  start(): void;
  /**
   * Resolves when a seed has told the state of the cluster; asks until then, also after a timeout. Seeds are addresses as their nodes announce them: names
   * have to be resolved before. Rejects with EXISTS when another living node has this name. May be called again, to retry or to unite two clusters.
   */
  join(seeds: readonly string[], wait: { readonly signal?: AbortSignal; readonly timeoutMs: number }): Promise<void>;
  /** Says goodbye and stops; resolves when the others were told, at the latest after `leaveTimeoutMs`. */
  leave(): Promise<void>;
  /** Stops at once, as a crash would: the others will notice by themselves. */
  close(): void;
  /** Everybody, this node and tombstones included. */
  members(): readonly Member[];
  member(name: string): Member | null;
  setMetadata(metadata: Metadata): void;
  /**
   * Spreads a named value; the highest version wins everywhere. Refused (false) when this version or a newer one is known here. Of two that were given one
   * version on two nodes all come to the same one: what was taken here may still give way to another content of its version.
   */
  broadcast(name: string, version: number, bytes: Uint8Array): boolean;
  /** The newest known value of that name. The bytes belong to the membership: do not change them. */
  value(name: string): { readonly version: number; readonly bytes: Uint8Array } | null;
  onEvent(listener: (event: SwimEvent) => void): () => void;
  status(): MembershipStatus;
}
