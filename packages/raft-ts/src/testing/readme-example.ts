/** The example of the README, run by its test; both must be the same text. */
import { entryKinds, MemoryLog, type Message, Raft } from "../index.ts";

/** A replica and its state machine: the list of words that were said. */
class Server {
  readonly raft: Raft;
  readonly words: string[] = [];
  readonly #log: MemoryLog;
  constructor(id: number, voters: readonly number[]) {
    this.#log = new MemoryLog({ voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false });
    this.raft = new Raft({ storage: this.#log, random: { next: Math.random } }, { id });
  }
  /** Store, then send, then apply: the order is what makes it safe. */
  turn(send: (message: Message) => void): void {
    const ready = this.raft.ready();
    if (ready === null) return;
    for (const message of ready.earlyMessages) send(message);
    this.#log.store(ready); // To disk, in earnest; and synced, when ready.mustSync says so.
    for (const message of ready.messages) send(message);
    for (const { kind, data } of ready.committed) if (kind === entryKinds.command) this.words.push(new TextDecoder().decode(data));
    this.raft.advance(ready);
  }
}

export const servers: ReadonlyMap<number, Server> = new Map([1, 2, 3].map((id) => [id, new Server(id, [1, 2, 3])]));
function settle(): void {
  while ([...servers.values()].some(({ raft }) => raft.hasReady)) {
    for (const server of servers.values()) server.turn((message) => servers.get(message.to)?.raft.step(message));
  }
}

// A timer would tick, each 100 ms perhaps.
for (let tick = 0; tick < 30; tick++) {
  for (const { raft } of servers.values()) raft.tick();
  settle();
}
const leader = [...servers.values()].find(({ raft }) => raft.isLeader);
leader?.raft.propose(new TextEncoder().encode("hello"));
settle();
for (const { words } of servers.values()) console.log(words); // [ "hello" ], three times
