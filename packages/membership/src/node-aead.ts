/**
 * AES-256-GCM by node:crypto: the Aead of real nodes. A synchronous call costs 3 to 6 µs for a packet, far below what a thread would.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { Aead } from "./swim/packet-cipher.ts";

const algorithm = "aes-256-gcm";
const tagBytes = 16;

export const nodeAead: Aead = {
  seal: (key, nonce, authenticated, plaintext) => {
    const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes });
    cipher.setAAD(authenticated);
    return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  },
  open: (key, nonce, authenticated, sealed) => {
    if (sealed.length < tagBytes) return null;
    const end = sealed.length - tagBytes;
    const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength: tagBytes });
    decipher.setAAD(authenticated);
    decipher.setAuthTag(sealed.subarray(end));
    const plaintext = decipher.update(sealed.subarray(0, end));
    try {
      decipher.final();
    } catch {
      // node:crypto has one error here, without a code: the tag does not match. That is an answer, not a failure.
      return null;
    }
    return plaintext;
  },
};
