/**
 * What a file may hold after a crash: what was there at the last fsync is certain, every write since may be there, in part, or not.
 *
 * A byte of the file that is found must be the synced one, or that of a write since, or zero where the file grew or was cut since (a hole that was
 * not filled yet). A size must lie between the smallest and the largest that the file had since. Anything else is garbage.
 */

interface Piece {
  readonly offset: number;
  readonly bytes: Buffer;
}

const blockBytes = 4096;

export class FileModel {
  readonly kind = "file";
  /** As of the last fsync. */
  #synced: Buffer;
  /** As of now; the same buffer as `#synced` until something changes. */
  #current: Buffer;
  #pieces: Piece[] = [];
  #sizeMin: number;
  #sizeMax: number;
  /** From here on zeros are allowed. */
  #zeroFrom: number;

  constructor(bytes: Buffer = Buffer.alloc(0)) {
    this.#synced = bytes;
    this.#current = bytes;
    this.#sizeMin = bytes.length;
    this.#sizeMax = bytes.length;
    this.#zeroFrom = bytes.length;
  }

  /** Borrowed: valid until the next change. */
  get current(): Buffer {
    return this.#current;
  }

  get isSynced(): boolean {
    return this.#synced === this.#current;
  }

  get pendingBytes(): number {
    return this.#pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  #resize(sizeBytes: number): void {
    const resized = Buffer.alloc(sizeBytes);
    this.#current.copy(resized, 0, 0, Math.min(sizeBytes, this.#current.length));
    this.#current = resized;
    this.#sizeMin = Math.min(this.#sizeMin, sizeBytes);
    this.#sizeMax = Math.max(this.#sizeMax, sizeBytes);
  }

  write(offset: number, bytes: Buffer): void {
    // Always a copy, so that `#synced` stays as it is.
    this.#resize(Math.max(this.#current.length, offset + bytes.length));
    bytes.copy(this.#current, offset);
    this.#pieces.push({ offset, bytes });
  }

  truncate(sizeBytes: number): void {
    this.#resize(sizeBytes);
    this.#zeroFrom = Math.min(this.#zeroFrom, sizeBytes);
  }

  /** Everything until now is certain. */
  sync(): void {
    this.#synced = this.#current;
    this.#pieces = [];
    this.#sizeMin = this.#sizeMax = this.#zeroFrom = this.#current.length;
  }

  /** Why `found` cannot be this file as of now, or null. */
  explainNow(found: Buffer): string | null {
    if (found.length !== this.#current.length) return `has ${found.length} bytes, not ${this.#current.length}`;
    if (found.equals(this.#current)) return null;
    const at = firstDifference(found, this.#current);
    return `differs at byte ${at} of ${found.length}: ${excerpt(found, at)} is not ${excerpt(this.#current, at)}`;
  }

  /** Why `found` cannot be what a crash left of this file, or null. */
  explainAfterCrash(found: Buffer): string | null {
    if (this.isSynced) return this.explainNow(found);
    if (found.length < this.#sizeMin || found.length > this.#sizeMax) {
      return `has ${found.length} bytes; since its last fsync it had ${this.#sizeMin} to ${this.#sizeMax}`;
    }
    for (let begin = 0; begin < found.length; begin += blockBytes) {
      const end = Math.min(begin + blockBytes, found.length);
      const at = this.#firstGarbage(found, begin, end);
      if (at !== null) return `holds at byte ${at} of ${found.length} what was neither synced nor written since: ${excerpt(found, at)}`;
    }
    return null;
  }

  #firstGarbage(found: Buffer, begin: number, end: number): number | null {
    if (end <= this.#synced.length && found.compare(this.#synced, begin, end, begin, end) === 0) return null;
    if (end <= this.#current.length && found.compare(this.#current, begin, end, begin, end) === 0) return null;
    const pieces = this.#pieces.filter(({ offset, bytes }) => offset < end && offset + bytes.length > begin);
    for (let at = begin; at < end; at++) {
      const byte = found[at];
      if (at < this.#synced.length && byte === this.#synced[at]) continue;
      if (byte === 0 && at >= this.#zeroFrom) continue;
      if (!pieces.some(({ offset, bytes }) => at >= offset && bytes[at - offset] === byte)) return at;
    }
    return null;
  }
}

function firstDifference(left: Buffer, right: Buffer): number {
  const length = Math.min(left.length, right.length);
  for (let begin = 0; begin < length; begin += blockBytes) {
    const end = Math.min(begin + blockBytes, length);
    if (left.compare(right, begin, end, begin, end) === 0) continue;
    for (let at = begin; at < end; at++) if (left[at] !== right[at]) return at;
  }
  return length;
}

function excerpt(bytes: Buffer, at: number): string {
  return bytes.subarray(at, at + 16).toString("hex");
}
