/** Membership of a cluster by SWIM with Lifeguard: a pure core, and an agent that drives it on a clock and a packet network. */
export { SwimAgent } from "./agent.ts";
export type { AgentParts } from "./agent.ts";
export type { Membership, MembershipStatus } from "./membership.ts";
export { nodeAead } from "./node-aead.ts";
export type { PacketNetwork } from "./packet-network.ts";
export type { SwimCounters, SwimEvent } from "./swim/events.ts";
export { noMetadata, stateRanks } from "./swim/member.ts";
export type { Claim, Member, MemberState, Metadata } from "./swim/member.ts";
export { defaultOptions, limits } from "./swim/options.ts";
export type { SwimOptions } from "./swim/options.ts";
export { KeyRing } from "./swim/packet-cipher.ts";
export type { Aead, GossipKey } from "./swim/packet-cipher.ts";
export { standardRules } from "./swim/rules.ts";
export type { SwimRules } from "./swim/rules.ts";
export { Swim } from "./swim/swim.ts";
export type { SwimEffects, SwimIdentity, SwimParts, SwimPhase } from "./swim/swim.ts";
export type { OutgoingPacket } from "./swim/sealed-wire.ts";
