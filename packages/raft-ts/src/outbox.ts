/**
 * Messages that wait for the next Ready.
 *
 * While the host stores one Ready there is no next, and time goes on; so what says the same again, and more, takes the place of what waits. Invariant:
 * at most one heartbeat and one answer to a heartbeat of a term wait for each peer, however long the host takes; acknowledgements are merged only when
 * one follows the other. Everything else waits as it was made: the host bounds that by taking Readies.
 */
import type { Message } from "./message.ts";

/** The message says everything that `before` says. */
function replaces(message: Message, before: Message): boolean {
  if (before.type !== message.type || before.to !== message.to || before.term !== message.term) return false;
  if (message.type === "heartbeat" || message.type === "heartbeatReply") return true;
  return (
    message.type === "appendReply" &&
    before.type === "appendReply" &&
    !message.rejected &&
    !before.rejected &&
    before.index <= message.index
  );
}

export class Outbox {
  #messages: Message[] = [];

  get isEmpty(): boolean {
    return this.#messages.length === 0;
  }

  push(message: Message): void {
    const messages = this.#messages;
    const last = messages.length - 1;
    if (last >= 0 && replaces(message, messages[last] as Message)) {
      messages[last] = message;
      return;
    }
    if (message.type === "heartbeat" || message.type === "heartbeatReply") {
      const at = messages.findIndex((before) => replaces(message, before));
      if (at >= 0) messages.splice(at, 1);
    }
    messages.push(message);
  }

  take(): readonly Message[] {
    if (this.isEmpty) return none;
    const taken = this.#messages;
    this.#messages = [];
    return taken;
  }
}

const none: readonly Message[] = Object.freeze([]);
