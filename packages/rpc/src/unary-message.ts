/**
 * gRPC's length-prefixed messages for unary calls and server streams, whose messages are small and whole.
 *
 * Format: | compressed 0 1 | length 4, big endian | message |. Invariant: at most one message and one piece are held.
 */
import { CfsError } from "@cfs/core";
import { grpcPrefixBytes } from "./batch-format.ts";
import { limits } from "./limits.ts";

export function prefixed(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(grpcPrefixBytes + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, grpcPrefixBytes);
  return framed;
}

/** Puts messages together from pieces of any size. */
export class MessageReader {
  #pieces: Buffer[] = [];
  #bufferedBytes = 0;
  #wantedBytes = grpcPrefixBytes;

  /** The messages that are complete with this piece. */
  push(piece: Buffer): Uint8Array[] {
    this.#pieces.push(piece);
    this.#bufferedBytes += piece.length;
    const messages: Uint8Array[] = [];
    while (this.#bufferedBytes >= this.#wantedBytes) {
      const bytes = this.#pieces.length === 1 ? (this.#pieces[0] as Buffer) : Buffer.concat(this.#pieces);
      const length = messageLength(bytes);
      const end = grpcPrefixBytes + length;
      this.#pieces = [bytes];
      this.#wantedBytes = end;
      if (bytes.length < end) break;
      messages.push(bytes.subarray(grpcPrefixBytes, end));
      this.#pieces = bytes.length === end ? [] : [bytes.subarray(end)];
      this.#bufferedBytes -= end;
      this.#wantedBytes = grpcPrefixBytes;
    }
    return messages;
  }

  /** Throws CORRUPT when the sender stopped inside a message. */
  end(): void {
    if (this.#bufferedBytes > 0) {
      throw new CfsError("CORRUPT", `the call ended inside a message, after ${this.#bufferedBytes} of at least ${this.#wantedBytes} bytes`);
    }
  }
}

function messageLength(bytes: Buffer): number {
  if (bytes[0] !== 0) throw new CfsError("NOT_SUPPORTED", `a message has the compression flag ${bytes[0]}; none was agreed`);
  const length = bytes.readUInt32BE(1);
  if (length > limits.unaryMessageBytesMax) {
    throw new CfsError("TOO_BIG", `a message announces ${length} bytes; at most ${limits.unaryMessageBytesMax} are accepted`);
  }
  return length;
}
