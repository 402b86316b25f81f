/**
 * Updates that ride on packets: each is sent a bounded number of times, those that were sent least go first.
 *
 * Invariant: at most one update per subject and variant is queued, and a newer one about the same subject takes the place of the older. So the queue is
 * bounded by the number of members and values. Rumours about one suspect by several accusers are variants of one subject; any other claim ends them all.
 * Source: SWIM, section 4.1 (infection-style dissemination).
 */

/** A packet counts as full when so many updates did not fit: the queue of a thousand joins is not searched for one small enough. */
const missedMax = 16;

interface Update {
  readonly key: string;
  readonly subject: string;
  readonly frame: Uint8Array;
  sent: number;
}

export class BroadcastQueue {
  readonly #updates = new Map<string, Update>();
  /** Index: how often sent. A Map keeps the order of arrival. */
  readonly #bySent: Map<string, Update>[] = [];
  readonly #keysBySubject = new Map<string, Set<string>>();

  get size(): number {
    return this.#updates.size;
  }

  has(subject: string): boolean {
    return this.#keysBySubject.has(subject);
  }

  /** `variant` null: replaces everything about the subject. Else it replaces only the same variant. */
  add(subject: string, variant: string | null, frame: Uint8Array): void {
    if (variant === null) this.drop(subject);
    const key = `${subject}\n${variant ?? ""}`;
    this.#remove(key);
    const update = { key, subject, frame, sent: 0 };
    this.#updates.set(key, update);
    this.#level(0).set(key, update);
    let keys = this.#keysBySubject.get(subject);
    if (keys === undefined) this.#keysBySubject.set(subject, (keys = new Set()));
    keys.add(key);
  }

  drop(subject: string): void {
    for (const key of this.#keysBySubject.get(subject) ?? []) this.#remove(key);
  }

  /** The frames for one packet with room for `roomBytes`; each counts as sent, and goes when it was sent `sentMax` times. */
  take(roomBytes: number, sentMax: number): Uint8Array[] {
    const taken: Update[] = [];
    let leftBytes = roomBytes;
    let missed = 0;
    for (const level of this.#bySent) {
      for (const update of level.values()) {
        if (missed >= missedMax) break;
        if (update.frame.length > leftBytes) missed++;
        else {
          leftBytes -= update.frame.length;
          taken.push(update);
        }
      }
      if (missed >= missedMax) break;
    }
    for (const update of taken) this.#countSent(update, sentMax);
    return taken.map(({ frame }) => frame);
  }

  #countSent(update: Update, sentMax: number): void {
    if (update.sent + 1 >= sentMax) return this.#remove(update.key);
    this.#level(update.sent).delete(update.key);
    update.sent++;
    this.#level(update.sent).set(update.key, update);
  }

  #level(sent: number): Map<string, Update> {
    while (this.#bySent.length <= sent) this.#bySent.push(new Map());
    return this.#bySent[sent] as Map<string, Update>;
  }

  #remove(key: string): void {
    const update = this.#updates.get(key);
    if (update === undefined) return;
    this.#updates.delete(key);
    this.#level(update.sent).delete(key);
    const keys = this.#keysBySubject.get(update.subject);
    keys?.delete(key);
    if (keys?.size === 0) this.#keysBySubject.delete(update.subject);
  }
}
