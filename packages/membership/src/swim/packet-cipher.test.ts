import { describe, expect, it } from "vitest";
import { nodeAead } from "../node-aead.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { sumAead } from "../testing/sum-aead.ts";
import { type Aead, KeyRing, PacketCipher, sealBytes, unknownSession } from "./packet-cipher.ts";
import { ReplayGuard } from "./replay-guard.ts";
import { standardRules } from "./rules.ts";

const keyOf = (id: number): { id: number; bytes: Uint8Array } => ({ id, bytes: new Uint8Array(32).fill(id) });
const session = "0123456789abcdef";
const text = Buffer.from("who is there?");

describe.each<[string, Aead]>([
  ["AES-256-GCM", nodeAead],
  ["the sum for simulations", sumAead],
])("packets sealed by %s", (_name, aead) => {
  const cipherOf = (ids: readonly number[], clusterId = "c"): PacketCipher =>
    new PacketCipher({ aead, keys: new KeyRing(ids.map(keyOf)) }, clusterId);

  it("open with any key of the ring, and add 41 bytes", () => {
    const sealed = cipherOf([2]).seal(session, 7, unknownSession, text);
    expect(sealed).toHaveLength(text.length + sealBytes);
    const opened = cipherOf([1, 2]).open(sealed);
    expect({ ...opened, plaintext: Buffer.from(opened?.plaintext ?? []).toString() }).toEqual({
      session,
      counter: 7,
      echo: unknownSession,
      plaintext: text.toString(),
    });
  });

  it("are foreign with another key, another cluster, another version, or any bit changed", () => {
    const sealed = cipherOf([1]).seal(session, 1, session, text);
    expect(cipherOf([2]).open(sealed)).toBeNull();
    expect(cipherOf([1], "d").open(sealed)).toBeNull();
    expect(cipherOf([1]).open(sealed.subarray(0, sealBytes - 1))).toBeNull();
    for (let at = 0; at < sealed.length * 8; at++) {
      const changed = Uint8Array.from(sealed);
      changed[at >> 3] = (changed[at >> 3] ?? 0) ^ (1 << (at & 7));
      // The sum fills only four bytes of its tag.
      if (aead === sumAead && at >> 3 >= sealed.length - 12) continue;
      expect(cipherOf([1]).open(changed), `bit ${at}`).toBeNull();
    }
  });

  it("refuse to open what is too short for a tag", () => {
    expect(aead.open(keyOf(1).bytes, new Uint8Array(12), text, new Uint8Array(3))).toBeNull();
  });
});

describe("a key ring", () => {
  it("rotates: install, use, remove", () => {
    const ring = new KeyRing([keyOf(1)]);
    ring.install(keyOf(2));
    ring.install(keyOf(2));
    expect(ring.activeId).toBe(1);
    expect(() => ring.remove(1)).toThrow("in use");
    ring.use(2);
    ring.remove(1);
    expect([ring.activeId, ring.ids]).toEqual([2, [2]]);
    expect(() => ring.use(1)).toThrow("not installed");
  });

  it("is bounded, and holds one key per id", () => {
    const ring = new KeyRing([1, 2, 3, 4, 5, 6, 7, 8].map(keyOf));
    expect(() => ring.install(keyOf(9))).toThrow("NO_SPACE");
    expect(() => ring.install({ id: 1, bytes: keyOf(2).bytes })).toThrow("EXISTS");
  });
});

describe("the replay guard", () => {
  const guardOf = (bounds = {}): ReplayGuard => new ReplayGuard({ random: seededRandom(1), rules: standardRules }, bounds);

  it("takes each packet of a session once, in any order within the window", () => {
    const guard = guardOf();
    const admitted = (counters: readonly number[]): boolean[] => counters.map((counter) => guard.admits("s", counter));
    expect(admitted([5, 3, 5, 4, 3])).toEqual([true, true, false, true, false]);
    expect(admitted([1_500, 476, 477, 1_499, 1_499, 1_500])).toEqual([true, false, true, true, false, false]);
    expect(admitted([9_000, 1_500, 8_999])).toEqual([true, false, true]);
    expect(guard.admits("other", 5)).toBe(true);
  });

  it("agrees with a set that remembers everything", () => {
    const guard = guardOf();
    const random = seededRandom(3);
    const seen = new Set<number>();
    let highest = -1;
    for (let count = 0; count < 20_000; count++) {
      const counter = Math.max(0, Math.floor(count / 4 + (random.next() - 0.5) * 1_500));
      const isNew = !seen.has(counter) && counter > highest - 1_024;
      expect(guard.admits("s", counter), `counter ${counter}`).toBe(isNew);
      highest = Math.max(highest, counter);
      seen.add(counter);
    }
  });

  it("asks for a new session when there are too many peers, or half of the counters are used", () => {
    const full = guardOf({ windowsMax: 2 });
    expect([full.admits("a", 1), full.admits("b", 1), full.admits("c", 1), full.needsRenewal]).toEqual([true, true, false, true]);
    const before = full.session;
    full.renew();
    expect(full.session).not.toBe(before);
    expect([full.admits("c", 1), full.needsRenewal]).toEqual([true, false]);
    const spent = guardOf({ counterMax: 10 });
    for (let count = 0; count < 6; count++) spent.nextCounter();
    expect(spent.needsRenewal).toBe(true);
  });

  it("never draws the session that means none", () => {
    const zeros = { next: () => 0, bytes: (target: Uint8Array) => target.fill(0) };
    expect(new ReplayGuard({ random: zeros, rules: standardRules }).session).not.toBe(unknownSession);
  });
});
