/** Membership of a cluster by SWIM with Lifeguard: a pure core, and an agent that drives it on a clock and a packet network. */
export type { Membership, MembershipStatus } from "./membership.ts";
export type { PacketNetwork } from "./packet-network.ts";
export { newCounters } from "./swim/events.ts";
export type { SwimCounters, SwimEvent } from "./swim/events.ts";
export { noMetadata, stateRanks } from "./swim/member.ts";
export type { Claim, Member, MemberState, Metadata } from "./swim/member.ts";
export { defaultOptions, limits } from "./swim/options.ts";
export type { SwimOptions } from "./swim/options.ts";
