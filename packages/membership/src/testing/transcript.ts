/**
 * A small language for stories of SWIM: a few nodes on a perfect network of 1 ms, until the story breaks something.
 *
 *   cluster A B C …            nodes that know each other          add A [MEMBER]        one that is alone (and claims the name MEMBER)
 *   join A SEED …, leave A, kill A, restart A                      run MS                lets time pass and prints what happens
 *   cut A B                    nothing passes from A to B          mend                  everything passes again
 *   slow A B MS                from A to B it takes so much more   pause A MS, jump A MS process and clock
 *   watch TYPE …               messages of these types are printed as they arrive
 *   say A B CLAIM              B gets a packet from A's address with alive, suspect, dead or left: `dead C@3`
 *   again B, noise B           the last packet that B took comes once more; bytes without meaning come
 *   key A install|use|remove N, meta A K=V, give A NAME VERSION TEXT
 *   show A …, counters A NAME …, value A NAME
 *
 * Times are seconds since the story began. Every run of a story is the same.
 */
import { unreachable } from "@cfs/core";
import type { SwimCounters, SwimEvent } from "../swim/events.ts";
import { noMetadata } from "../swim/member.ts";
import type { Message } from "../swim/messages.ts";
import { headerBytes, KeyRing, PacketCipher, sealBytes } from "../swim/packet-cipher.ts";
import { decodePacket, joinFrames, MessageEncoder } from "../swim/packet-format.ts";
import { GossipSimulation, simulationCluster, simulationKey, type SimulatedNode } from "./gossip-simulation.ts";
import { sumAead } from "./sum-aead.ts";

type Words = readonly string[];

const forgedSession = "f0f0f0f0f0f0f0f0";

export class Transcript {
  readonly #simulation = new GossipSimulation({ seed: 1, delayMinMs: 1, delayMaxMs: 1, swim: { tombstoneMs: 60_000 } });
  readonly #cuts = new Set<string>();
  readonly #delays = new Map<string, number>();
  readonly #watched = new Set<string>();
  readonly #lastPackets = new Map<string, { readonly bytes: Uint8Array; readonly from: string }>();
  #lines: string[] = [];
  #forged = 0;
  #isSilent = false;

  readonly #commands: Readonly<Record<string, (words: Words) => void>> = {
    cluster: (names) => this.#cluster(names),
    add: ([name = "", member = name]) => void this.#simulation.add(name, member),
    join: ([name = "", ...seeds]) => this.#simulation.join(name, ...seeds),
    leave: ([name = ""]) => this.#simulation.leave(name),
    kill: ([name = ""]) => this.#simulation.kill(name),
    restart: ([name = ""]) => this.#simulation.restart(name),
    run: ([ms]) => this.#simulation.run(Number(ms)),
    cut: ([from, to]) => void this.#cuts.add(`${from} ${to}`),
    mend: () => {
      this.#cuts.clear();
      this.#delays.clear();
    },
    slow: ([from, to, ms]) => void this.#delays.set(`${from} ${to}`, Number(ms)),
    pause: ([name = "", ms]) => this.#simulation.pause(name, Number(ms)),
    jump: ([name = "", ms]) => this.#simulation.jumpClock(name, Number(ms)),
    watch: (types) => {
      this.#watched.clear();
      for (const type of types) this.#watched.add(type);
    },
    say: ([from = "", to = "", state = "", claim = ""]) => this.#say(from, to, state, claim),
    again: ([name = ""]) => {
      const last = this.#lastPackets.get(name);
      if (last !== undefined) this.#simulation.inject(name, last.bytes, last.from);
    },
    noise: ([name = ""]) => this.#simulation.inject(name, new Uint8Array(100).fill(1), "nowhere.net:1"),
    key: ([name = "", what = "", id = ""]) => this.#key(name, what, Number(id)),
    meta: ([name = "", label = ""]) => {
      const [key = "", value = ""] = label.split("=");
      this.#simulation.act(name, (swim) => swim.setMetadata({ ...noMetadata, labels: { [key]: value } }));
    },
    give: ([name = "", value = "", version = "", text = ""]) => {
      const isNews = { told: false };
      this.#simulation.act(name, (swim) => (isNews.told = swim.broadcast(value, Number(version), Buffer.from(text))));
      if (!isNews.told) this.#print(`${name} knows ${value} version ${version} or a newer one`);
    },
    show: (names) => names.forEach((name) => this.#show(name)),
    counters: ([name = "", ...keys]) => {
      const { counters } = this.#simulation.node(name).swim;
      this.#print(`${name}: ${keys.map((key) => `${key} ${counters[key as keyof SwimCounters]}`).join(", ")}`);
    },
    value: ([name = "", value = ""]) => {
      const held = this.#simulation.node(name).swim.value(value);
      this.#print(`${name}: ${value} ${held === null ? "unknown" : `version ${held.version} ${Buffer.from(held.bytes).toString()}`}`);
    },
  };

  constructor() {
    const simulation = this.#simulation;
    simulation.passes = (from, to) => !this.#cuts.has(`${from} ${to}`);
    simulation.extraDelayMs = (from, to) => this.#delays.get(`${from} ${to}`) ?? 0;
    simulation.onEvent = ({ node, event }) => this.#print(`${this.#now()} ${node} ${textOfEvent(event)}`);
    simulation.onArrival = (to, bytes, from) => this.#onArrival(to, bytes, from);
  }

  /** What the commands print. */
  run(lines: readonly string[]): string {
    this.#lines = [];
    for (const line of lines) {
      const [name = "", ...words] = line.split(" ");
      const command = this.#commands[name];
      if (command === undefined) throw new Error(`the story says "${name}", which is no command`);
      command(words);
    }
    return this.#lines.join("\n");
  }

  #print(line: string): void {
    if (!this.#isSilent) this.#lines.push(line);
  }

  #now(): string {
    return (this.#simulation.nowMs / 1_000).toFixed(2).padStart(6);
  }

  #cluster(names: Words): void {
    this.#isSilent = true;
    for (const name of names) this.#simulation.add(name);
    for (const name of names.slice(1)) this.#simulation.join(name, names[0] as string);
    const isWhole = (): boolean =>
      names.every((name) => names.every((other) => this.#simulation.node(name).swim.member(other)?.state === "alive"));
    this.#simulation.runUntil(isWhole, 30_000);
    this.#simulation.run(5_000);
    this.#simulation.run(1_000 - (this.#simulation.nowMs % 1_000));
    this.#isSilent = false;
  }

  #onArrival(to: SimulatedNode, bytes: Uint8Array, from: string): void {
    if (bytes.length < sealBytes || from.startsWith("nowhere")) return;
    this.#lastPackets.set(to.name, { bytes: Uint8Array.from(bytes), from });
    // sumAead leaves the plaintext as it is.
    const { messages } = decodePacket(bytes.subarray(headerBytes, bytes.length - 16));
    for (const message of messages)
      if (this.#watched.has(message.type)) this.#print(`${this.#now()} ${from.split(".")[0]} → ${to.name} ${textOfMessage(message)}`);
  }

  #say(from: string, to: string, state: string, claim: string): void {
    const [name = "", incarnation = "1"] = claim.split("@");
    const speaker = this.#simulation.nodes.get(from);
    const about = this.#simulation.nodes.get(name)?.swim.self;
    const base = { name, incarnation: Number(incarnation), from };
    const session = about?.session ?? forgedSession;
    const record = { ...base, state: "alive", session, address: `${name}.net:9400`, metadata: noMetadata, ageMs: 0 } as const;
    const messages: Readonly<Record<string, Message>> = {
      alive: { type: "alive", record },
      suspect: { type: "suspect", ...base },
      dead: { type: "dead", ...base },
      left: { type: "left", name, incarnation: base.incarnation },
      record: { type: "record", record },
      recordOfDead: { type: "record", record: { ...record, state: "dead" } },
    };
    const message = messages[state];
    if (message === undefined) throw new Error(`nobody can say "${state}"`);
    const cipher = new PacketCipher({ aead: sumAead, keys: new KeyRing([simulationKey]) }, simulationCluster);
    const plaintext = joinFrames([new MessageEncoder().encode(message)]);
    const echo = this.#simulation.node(to).swim.self.session;
    this.#simulation.inject(to, cipher.seal(forgedSession, this.#forged++, echo, plaintext), speaker?.address ?? `${from}.net:9400`);
  }

  #key(name: string, what: string, id: number): void {
    const { keys } = this.#simulation.node(name).swim;
    if (what === "install") keys.install({ id, bytes: new Uint8Array(32).fill(id) });
    else if (what === "use") keys.use(id);
    else keys.remove(id);
  }

  #show(name: string): void {
    const { swim } = this.#simulation.node(name);
    const members = [...swim.members()].sort((one, other) => (one.name < other.name ? -1 : 1));
    this.#print(`${name} (${swim.phase}): ${members.map((member) => `${member.name} ${member.state}@${member.incarnation}`).join(", ")}`);
  }
}

function textOfEvent(event: SwimEvent): string {
  switch (event.type) {
    case "suspected":
    case "failed":
      return `${event.type === "failed" ? "declares dead:" : "suspects"} ${event.member.name}@${event.member.incarnation}, says ${event.from}`;
    case "joined":
      return `meets ${event.member.name}@${event.member.incarnation}`;
    case "refuted":
      return `clears ${event.member.name}@${event.member.incarnation}`;
    case "left":
      return `sees ${event.member.name}@${event.member.incarnation} leave`;
    case "updated":
      return `learns ${event.member.name}@${event.member.incarnation} ${JSON.stringify(event.member.metadata.labels)}`;
    case "reaped":
      return `forgets ${event.member.name}`;
    case "broadcast":
      return `hears ${event.name} version ${event.version}`;
    case "nameConflict":
      return `finds its name used at ${event.address}${event.isFinal ? ", and gives up" : ""}`;
    case "stalled":
      return `stood still for ${(event.lateMs / 1_000).toFixed(1)} s`;
    case "joinedCluster":
      return "has joined";
    case "leaveDone":
      return "is gone";
    default:
      return unreachable(event, "event");
  }
}

function textOfMessage(message: Message): string {
  switch (message.type) {
    case "ping":
      return `ping ${message.target}`;
    case "pingRequest":
      return `please ping ${message.target}`;
    case "alive":
    case "record":
      return `${message.type} ${message.record.name} ${message.record.state}@${message.record.incarnation}`;
    case "suspect":
    case "dead":
    case "left":
      return `${message.type} ${message.name}@${message.incarnation}`;
    case "sync":
      return `sync, asks for ${message.ask.length} buckets`;
    default:
      return message.type;
  }
}
