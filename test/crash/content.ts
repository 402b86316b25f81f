/**
 * What the writers of the crash tests write: bytes that follow from a seed, so that a manifest of seeds says what every byte of a file must be.
 *
 * Three seeds out of four give bytes without pattern (AES in counter mode), the fourth gives text that compresses well. No two seeds share a block of
 * 64 bytes, so a byte of another write, of another file or of another offset is told apart.
 */
import { createCipheriv } from "node:crypto";

const textBlockBytes = 64;

function key(seed: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUIntLE(seed, 0, 6);
  return bytes;
}

function text(seed: number, lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes, "the quick brown fox jumps over the lazy dog, again and again ;\n");
  const label = Buffer.from(`${seed}:`.padStart(16, "_"), "latin1");
  for (let at = 0; at + textBlockBytes <= lengthBytes; at += textBlockBytes) {
    label.copy(bytes, at);
    bytes.writeUInt32LE(at, at + label.length);
  }
  return bytes;
}

/** The bytes of seed `seed` (an integer below 2^48). */
export function contentOf(seed: number, lengthBytes: number): Buffer {
  if (seed % 4 === 0) return text(seed, lengthBytes);
  return createCipheriv("aes-128-ctr", key(seed), Buffer.alloc(16)).update(Buffer.alloc(lengthBytes));
}
