/**
 * The bytes of a file in memory: pages that exist where something was written, zeros elsewhere.
 *
 * Why sparse: a simulated node preallocates journals of hundreds of MiB and writes little of them.
 */
const pageBytes = 65_536;

export class SparseBytes {
  readonly #pages: Map<number, Uint8Array> = new Map();
  sizeBytes = 0;

  get storedBytes(): number {
    return this.#pages.size * pageBytes;
  }

  /** Copies from `offsetBytes` into `target`; returns the bytes that lie before the end. */
  read(target: Uint8Array, offsetBytes: number): number {
    const length = Math.max(0, Math.min(target.byteLength, this.sizeBytes - offsetBytes));
    this.#eachPage(offsetBytes, length, (page, from, count, done) => {
      const bytes = this.#pages.get(page);
      if (bytes === undefined) target.fill(0, done, done + count);
      else target.set(bytes.subarray(from, from + count), done);
    });
    return length;
  }

  write(bytes: Uint8Array, offsetBytes: number): void {
    this.#eachPage(offsetBytes, bytes.byteLength, (page, from, count, done) => {
      let stored = this.#pages.get(page);
      if (stored === undefined) this.#pages.set(page, (stored = new Uint8Array(pageBytes)));
      stored.set(bytes.subarray(done, done + count), from);
    });
    this.sizeBytes = Math.max(this.sizeBytes, offsetBytes + bytes.byteLength);
  }

  /** The range reads as zeros; the size stays. */
  clear(offsetBytes: number, lengthBytes: number): void {
    this.#eachPage(offsetBytes, lengthBytes, (page, from, count) => {
      if (count === pageBytes) this.#pages.delete(page);
      else this.#pages.get(page)?.fill(0, from, from + count);
    });
  }

  truncate(sizeBytes: number): void {
    if (sizeBytes < this.sizeBytes) {
      const first = Math.ceil(sizeBytes / pageBytes);
      for (const page of this.#pages.keys()) if (page >= first) this.#pages.delete(page);
      this.clear(sizeBytes, first * pageBytes - sizeBytes);
    }
    this.sizeBytes = sizeBytes;
  }

  clone(): SparseBytes {
    const copy = new SparseBytes();
    for (const [page, bytes] of this.#pages) copy.#pages.set(page, bytes.slice());
    copy.sizeBytes = this.sizeBytes;
    return copy;
  }

  #eachPage(offsetBytes: number, lengthBytes: number, visit: (page: number, from: number, count: number, done: number) => void): void {
    for (let done = 0; done < lengthBytes;) {
      const at = offsetBytes + done;
      const page = Math.floor(at / pageBytes);
      const from = at - page * pageBytes;
      const count = Math.min(pageBytes - from, lengthBytes - done);
      visit(page, from, count, done);
      done += count;
    }
  }
}
