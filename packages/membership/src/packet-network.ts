/**
 * The port through which an agent sends and receives packets: UDP in a server, a simulated network in tests.
 *
 * Packets may be lost, doubled, late and out of order; SWIM expects that. `send` never throws for the network's sake and never waits.
 */
export interface PacketNetwork {
  /**
   * Sends one packet of at most `packetBytesMax` bytes to `host:port`. The bytes are the network's from here on. An address is what a member announced: one
   * that means nothing is a lost packet.
   */
  send(address: string, packet: Uint8Array): void;
  /** Calls back for each packet; `from` is the sender's `host:port`. The bytes are the callee's. The returned function ends it. */
  onPacket(receive: (packet: Uint8Array, from: string) => void): () => void;
}
