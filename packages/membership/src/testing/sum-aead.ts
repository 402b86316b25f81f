/**
 * An Aead without secrecy: the plaintext and a sum over everything. For simulations, where sealing must be quick and the same on every machine.
 *
 * It notices a wrong key, a changed bit and changed authenticated data as the real one does, with 32 bits of certainty.
 */
import type { Aead } from "../swim/packet-cipher.ts";

const tagBytes = 16;

function sumOf(parts: readonly Uint8Array[]): number {
  let sum = 0x811c9dc5;
  for (const part of parts) {
    for (let index = 0; index < part.length; index++) sum = Math.imul(sum ^ (part[index] as number), 0x01000193);
    sum = Math.imul(sum ^ part.length, 0x85ebca6b);
  }
  return sum >>> 0;
}

export const sumAead: Aead = {
  seal: (key, nonce, authenticated, plaintext) => {
    const sealed = Buffer.alloc(plaintext.length + tagBytes);
    sealed.set(plaintext);
    sealed.writeUInt32LE(sumOf([key, nonce, authenticated, plaintext]), plaintext.length);
    return sealed;
  },
  open: (key, nonce, authenticated, sealed) => {
    if (sealed.length < tagBytes) return null;
    const end = sealed.length - tagBytes;
    const plaintext = sealed.subarray(0, end);
    const sum = Buffer.from(sealed.buffer, sealed.byteOffset + end, tagBytes).readUInt32LE(0);
    return sum === sumOf([key, nonce, authenticated, plaintext]) ? plaintext : null;
  },
};
