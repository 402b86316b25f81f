/**
 * The wire format of the hot stream, gRPC method cfs.v1.Session/Stream, below HTTP/2 and above the caller's heads and payloads.
 *
 *   gRPC message   | 0 (not compressed) 1 | length 4, big endian | Batch |
 *   Batch          | 0x0a (field 1, bytes) 1 | body length, varint 1 to 5 | body |      nothing else; an empty Batch has no bytes
 *   body           | frame | frame | …
 *   frame          | head length u32 | payload length u32 | head | payload |             little endian
 *
 * So a stock gRPC client sees `message Batch { bytes body = 1; }` (proto/session.proto), and we copy no payload into a protobuf.
 * Source: the gRPC over HTTP/2 protocol description (length-prefixed messages), the protobuf encoding guide.
 */
export const grpcPrefixBytes = 5;
export const frameHeaderBytes = 8;
/** First byte of a message of trailers, on a connection that has no HTTP/2 below it (gRPC-Web's convention). */
export const trailersFlag = 0x80;
/** Field 1, wire type 2 (length-delimited). */
export const bodyTag = 0x0a;
/** gRPC prefix, tag and the longest varint. */
export const messagePrefixBytesMax: number = grpcPrefixBytes + 1 + 5;

/** Bytes that a length takes as a varint. */
export function varintBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
}

/** Writes both prefixes of a message whose body has `bodyBytes`; returns the offset behind them. */
export function writeMessagePrefix(target: Buffer, at: number, bodyBytes: number): number {
  target[at] = 0;
  target.writeUInt32BE(1 + varintBytes(bodyBytes) + bodyBytes, at + 1);
  target[at + grpcPrefixBytes] = bodyTag;
  at += grpcPrefixBytes + 1;
  let rest = bodyBytes;
  for (; rest >= 0x80; rest >>>= 7) target[at++] = (rest & 0x7f) | 0x80;
  target[at++] = rest;
  return at;
}
