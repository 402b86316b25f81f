/**
 * The transport of tests and simulation: connections between parts of one process, without sockets or time.
 *
 * Deterministic: deliveries run in the order of `send`, each as one task of `schedule` (a microtask, or a simulator's event queue), and
 * frames are copied as they leave, as a wire would. Flow control is kept too: a paused receiver holds the sender's bytes in its queue.
 * `cut` loses what is under way and ends both sides with UNREACHABLE, as a pulled cable would; `heal` lets new connections in again.
 */
import { assert, CfsError } from "@cfs/core";
import { limits } from "./limits.ts";
import { addressText, plainPayloadPool } from "./transport.ts";
import type { Address, Connection, ConnectOptions, Frame, Listener, PayloadPool, ReceivedFrame, Transport } from "./transport.ts";

export interface MemoryTransportParts {
  /** Runs a task soon, in order. Default: queueMicrotask. */
  readonly schedule?: (task: () => void) => void;
  /** Where received payloads go; plain memory when it is missing. */
  readonly pool?: PayloadPool;
}

const firstFreePort = 49_152;

export class MemoryTransport implements Transport {
  readonly #schedule: (task: () => void) => void;
  readonly #pool: PayloadPool;
  readonly #listeners: Map<string, MemoryListener> = new Map();
  readonly #cut: Set<string> = new Set();
  #nextPort = firstFreePort;

  constructor(parts: MemoryTransportParts = {}) {
    this.#schedule = parts.schedule ?? queueMicrotask;
    this.#pool = parts.pool ?? plainPayloadPool;
  }

  async connect(address: Address, options: ConnectOptions): Promise<Connection> {
    const name = addressText(address);
    assert(options.timeoutMs >= 1, "a deadline lies in the future");
    options.signal?.throwIfAborted();
    if (this.#cut.has(name)) throw new CfsError("UNREACHABLE", `cannot connect to ${name}: it is cut off`);
    const listener = this.#listeners.get(name);
    if (listener === undefined) throw new CfsError("UNREACHABLE", `cannot connect to ${name}: nothing listens there`);
    const parts = { schedule: this.#schedule, pool: this.#pool };
    const client = new MemoryConnection(name, parts);
    const server = new MemoryConnection(addressText({ host: address.host, port: this.#nextPort++ }), parts);
    client.join(server);
    server.join(client);
    listener.accept(server);
    return client;
  }

  async listen(address: Address, onConnection: (connection: Connection) => void): Promise<Listener> {
    const bound = { host: address.host, port: address.port === 0 ? this.#nextPort++ : address.port };
    const name = addressText(bound);
    if (this.#listeners.has(name)) throw new CfsError("ADDRESS_IN_USE", `cannot listen on ${name}: another listener has it`);
    const listener = new MemoryListener(bound, onConnection, () => this.#listeners.delete(name));
    this.#listeners.set(name, listener);
    return listener;
  }

  /** Ends all connections to a listener on both sides, loses what is under way, and refuses new ones until `heal`. */
  cut(address: Address): void {
    const name = addressText(address);
    this.#cut.add(name);
    this.#listeners.get(name)?.cut();
  }

  heal(address: Address): void {
    this.#cut.delete(addressText(address));
  }
}

class MemoryListener implements Listener {
  readonly address: Address;
  readonly #onConnection: (connection: Connection) => void;
  readonly #onClose: () => void;
  readonly #connections: Set<MemoryConnection> = new Set();
  #closed: Promise<void> | null = null;

  constructor(address: Address, onConnection: (connection: Connection) => void, onClose: () => void) {
    this.address = address;
    this.#onConnection = onConnection;
    this.#onClose = onClose;
  }

  accept(connection: MemoryConnection): void {
    this.#connections.add(connection);
    connection.onReleased = () => this.#connections.delete(connection);
    this.#onConnection(connection);
  }

  cut(): void {
    for (const connection of [...this.#connections]) connection.cut();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#onClose();
    await Promise.all([...this.#connections].map((connection) => connection.close()));
  }
}

/** A frame on its way: the copies that a wire would make, and what tells its sender. */
interface Parcel {
  readonly head: Uint8Array;
  readonly payload: Uint8Array;
  readonly sizeBytes: number;
  readonly onSent: (() => void) | null;
}

class MemoryConnection implements Connection {
  readonly peer: string;
  readonly #schedule: (task: () => void) => void;
  readonly #pool: PayloadPool;
  #other: MemoryConnection | null = null;
  #outgoing: Parcel[] = [];
  #queuedBytes = 0;
  #isDeliveryPlanned = false;
  #isPaused = false;
  #hasReader = false;
  #state: "open" | "closing" | "closed" = "open";
  #closeReason: CfsError | null = null;
  #onFrames: (frames: readonly ReceivedFrame[]) => void = () => {};
  #onClosed: ((reason: CfsError | null) => void) | null = null;
  #drained: PromiseWithResolvers<void> | null = null;
  readonly #closed: PromiseWithResolvers<void> = Promise.withResolvers();
  onReleased: () => void = () => {};

  constructor(peer: string, parts: { schedule: (task: () => void) => void; pool: PayloadPool }) {
    this.peer = peer;
    this.#schedule = parts.schedule;
    this.#pool = parts.pool;
  }

  join(other: MemoryConnection): void {
    this.#other = other;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get onFrames(): (frames: readonly ReceivedFrame[]) => void {
    return this.#onFrames;
  }

  set onFrames(handler: (frames: readonly ReceivedFrame[]) => void) {
    this.#onFrames = handler;
    this.#hasReader = true;
    this.#other?.plan();
  }

  get onClosed(): (reason: CfsError | null) => void {
    return this.#onClosed ?? (() => {});
  }

  set onClosed(handler: (reason: CfsError | null) => void) {
    const isLate = this.#state === "closed" && this.#onClosed === null;
    this.#onClosed = handler;
    if (isLate) this.#schedule(() => handler(this.#closeReason));
  }

  send(frame: Frame, onSent?: () => void): void {
    if (this.#state !== "open") throw new CfsError("UNREACHABLE", `the connection to ${this.peer} is closed`);
    if (this.#queuedBytes > limits.queuedBytesMax) {
      throw new CfsError("AGAIN", `${this.#queuedBytes} bytes wait to be sent to ${this.peer}; wait for drained()`);
    }
    const payload = Buffer.concat(frame.payload);
    assert(frame.head.length <= limits.headBytesMax, "a head has at most 64 KiB");
    assert(payload.length <= limits.payloadBytesMax, "a payload has at most 4 MiB");
    const sizeBytes = frame.head.length + payload.length;
    this.#outgoing.push({ head: Buffer.from(frame.head), payload, sizeBytes, onSent: onSent ?? null });
    this.#queuedBytes += sizeBytes;
    this.plan();
  }

  /** Deliveries are turns of the schedule: there is nothing below to hurry. */
  flush(): void {}

  drained(): Promise<void> {
    if (this.#queuedBytes < limits.queuedBytesLow || this.#state === "closed") return Promise.resolve();
    this.#drained ??= Promise.withResolvers();
    return this.#drained.promise;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#other?.plan();
  }

  close(): Promise<void> {
    if (this.#state === "open") {
      this.#state = "closing";
      this.plan();
    }
    return this.#closed.promise;
  }

  /** Ends both sides at once, losing what is under way. */
  cut(): void {
    const other = this.#other;
    this.end(new CfsError("UNREACHABLE", `the connection to ${this.peer} was cut`));
    other?.end(new CfsError("UNREACHABLE", `the connection to ${other.peer} was cut`));
  }

  /** Has a delivery to the other side run soon. */
  plan(): void {
    if (this.#isDeliveryPlanned || this.#state === "closed") return;
    this.#isDeliveryPlanned = true;
    this.#schedule(() => {
      this.#isDeliveryPlanned = false;
      this.#deliver();
    });
  }

  end(reason: CfsError | null): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#closeReason = reason;
    this.#settle(this.#outgoing.splice(0));
    this.#other = null;
    this.#drained?.resolve();
    this.onReleased();
    this.#onClosed?.(reason);
    this.#closed.resolve();
  }

  /** Whether the other side takes frames now; one that closes drops them, so that it need not read to be rid of us. */
  #acceptance(): "takes" | "waits" | "drops" {
    if (this.#state !== "open") return "drops";
    return this.#isPaused || !this.#hasReader ? "waits" : "takes";
  }

  #deliver(): void {
    const other = this.#other;
    if (this.#state === "closed" || other === null) return;
    const acceptance = other.#acceptance();
    if (this.#outgoing.length > 0 && acceptance !== "waits") {
      const parcels = this.#outgoing.splice(0, limits.framesPerMessageMax);
      if (acceptance === "takes") other.#receive(parcels);
      this.#settle(parcels);
    }
    if (this.#outgoing.length > 0) {
      if (acceptance !== "waits" || this.#state === "closing") this.#continue(acceptance);
    } else if (this.#state === "closing") {
      this.end(null);
      other.#peerClosed();
    }
  }

  /** More waits: go on, or, when we close and the other side does not read, give it up as a close timeout would. */
  #continue(acceptance: "takes" | "waits" | "drops"): void {
    if (acceptance !== "waits") {
      this.plan();
      return;
    }
    const other = this.#other;
    this.end(null);
    other?.end(new CfsError("UNREACHABLE", `the connection to ${other.peer} was lost`));
  }

  /** The other side is gone in good order: what it sent has been delivered, what we have for it is dropped. */
  #peerClosed(): void {
    this.end(null);
  }

  #receive(parcels: readonly Parcel[]): void {
    const frames = parcels.map(({ head, payload }): ReceivedFrame => {
      if (payload.length === 0) return { head, payload };
      const target = this.#pool.allocate(payload.length);
      target.set(payload);
      return { head, payload: target };
    });
    this.#onFrames(frames);
  }

  #settle(parcels: readonly Parcel[]): void {
    for (const { sizeBytes, onSent } of parcels) {
      this.#queuedBytes -= sizeBytes;
      onSent?.();
    }
    if (this.#queuedBytes < limits.queuedBytesLow) {
      this.#drained?.resolve();
      this.#drained = null;
    }
  }
}
