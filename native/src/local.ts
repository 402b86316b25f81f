/**
 * Sockets between processes of one machine: unix(7) stream sockets with abstract names, served by the event loop of this thread.
 *
 * Received bytes go to `aim`'s target first and then to `scratch`; both are this side's memory and are written over by the next read, so a
 * handler takes what it needs before it returns. Writes take what the kernel has room for; `onRoom` tells when there is more.
 * Invariant: after `close` no handler runs.
 */
import { CfsError } from "@cfs/core";
import { loadAddon } from "./binding.ts";

interface StreamBinding {
  resume(): void;
  pause(): void;
  target(target: Uint8Array): void;
  write(views: readonly Uint8Array[], skip: number): number;
  shutdown(): void;
  close(): void;
}

interface ListenerBinding {
  start(): boolean;
  close(): void;
}

interface LocalAddon {
  localConnect(name: Uint8Array): number;
  localListen(name: Uint8Array): number;
  readonly LocalListenerBinding: new (fd: number, onAccept: (fd: number) => void) => ListenerBinding;
  readonly LocalStreamBinding: new (
    fd: number,
    scratch: Uint8Array,
    onEvent: (kind: number, a: number, b: number) => void,
  ) => StreamBinding;
}

let loaded: LocalAddon | null = null;

function addon(): LocalAddon {
  loaded ??= loadAddon() as LocalAddon;
  return loaded;
}

const came = 0;
const room = 1;

/** A connected descriptor for `LocalStream`; a negative errno where nobody listens (-111) or nobody accepts (-11). Never blocks. */
export function localConnect(name: string): number {
  return addon().localConnect(Buffer.from(name));
}

export interface LocalListenerHandlers {
  /** A connected descriptor, which the handler owns. */
  onAccept(fd: number): void;
  /** Nothing is accepted until `start`: no descriptors are left (EMFILE, ENFILE), for example. */
  onRefused(errno: number): void;
}

/** Listens on an abstract name. Throws ADDRESS_IN_USE when another process has it. */
export class LocalListener {
  readonly #binding: ListenerBinding;

  constructor(name: string, handlers: LocalListenerHandlers) {
    const fd = addon().localListen(Buffer.from(name));
    if (fd < 0) throw CfsError.fromErrno(-fd, `cannot listen on the local socket ${name}`);
    this.#binding = new (addon().LocalListenerBinding)(fd, (accepted) =>
      accepted >= 0 ? handlers.onAccept(accepted) : handlers.onRefused(-accepted),
    );
  }

  start(): void {
    this.#binding.start();
  }

  close(): void {
    this.#binding.close();
  }
}

export interface LocalStreamHandlers {
  /** `targetBytes` lie in what `aim` named last, `scratchBytes` at the start of `scratch`. */
  onRead(targetBytes: number, scratchBytes: number): void;
  /** The kernel takes more. */
  onRoom(): void;
  /** The peer ended its direction (0), or the connection is lost (an errno). Nothing is read any more. */
  onEnd(errno: number): void;
}

/** A connected socket; it begins paused. */
export class LocalStream {
  readonly scratch: Buffer;
  readonly #binding: StreamBinding;

  /** Takes the descriptor. */
  constructor(fd: number, scratchBytes: number, handlers: LocalStreamHandlers) {
    this.scratch = Buffer.allocUnsafeSlow(scratchBytes);
    this.#binding = new (addon().LocalStreamBinding)(fd, this.scratch, (kind, a, b) => {
      if (kind === came) handlers.onRead(a, b);
      else if (kind === room) handlers.onRoom();
      else handlers.onEnd(a);
    });
  }

  resume(): void {
    this.#binding.resume();
  }

  pause(): void {
    this.#binding.pause();
  }

  /** Where the next bytes go, until the next read: the caller keeps it alive, attached and in place until then or another `aim`. */
  aim(target: Uint8Array): void {
    this.#binding.target(target);
  }

  /** Writes `views` from their byte `skip` on. Gives how many bytes were taken, or a negative errno; fewer than all: `onRoom` follows. */
  write(views: readonly Uint8Array[], skip: number): number {
    return this.#binding.write(views, skip);
  }

  /** Ends this direction. */
  shutdown(): void {
    this.#binding.shutdown();
  }

  /** Ends both. Idempotent. */
  close(): void {
    this.#binding.close();
  }
}
