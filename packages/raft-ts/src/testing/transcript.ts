/**
 * The command language of testdata: stories of a few replicas, told message by message.
 *
 *   nodes 3 [key=value …]      three voters with these options         spare 4 [key=value …]   a replica that belongs to nothing yet
 *   campaign 1 | propose 1 a b | read 1 7 | transfer 1 2 | quiesce 1 [absent …] | wake 1 | forget 1 | rank 1 2 | unreachable 1 2
 *   change 1 +4 ~5 -2 [joint | explicit]      add a voter, add a learner, remove | leave 1
 *   gate 1 5/2 | compact 1 [keep] | crash 1 | restart 1 | tick 1 10 | tick-all 3
 *   hold 1 | begin 1 | store 1 | finish 1 | release 1      the host of 1 takes, stores and finishes a Ready only when told to
 *   deliver [1->2] [type]      what is on its way (of these), and what it causes sets out      lose [1->2] [type]
 *   stabilize                  until nothing moves | trace on | trace off   whether stabilize shows messages
 *   drop 1->2 | heal 1->2 | isolate 1 | heal-all
 *   status [1] | progress 1 | log [1] | network
 *
 * A replica that was spoken to does its Ready at once; what it sends is then on its way.
 */
import type { ConfigurationChange, ConfigurationStep } from "../configuration.ts";
import type { NodeId } from "../entry.ts";
import type { Message } from "../message.ts";
import type { RaftOptions } from "../options.ts";
import type { RaftRules } from "../rules.ts";
import { Cluster } from "./cluster.ts";
import { describeEntry, describeMessage, describeProgress, describeReady, describeStatus } from "./describe.ts";

const stepTypes: Readonly<Record<string, ConfigurationStep["type"]>> = { "+": "addVoter", "~": "addLearner", "-": "remove" };

function parseOptions(words: readonly string[]): Partial<RaftOptions> {
  const options: Record<string, unknown> = {};
  for (const word of words) {
    const [key, value] = word.split("=");
    if (key === undefined || value === undefined) throw new Error(`"${word}" is no option`);
    options[key] = value === "true" ? true : value === "false" ? false : /^\d+$/.test(value) ? Number(value) : value;
  }
  return options;
}

function link(word: string): readonly [NodeId, NodeId] {
  const parts = /^(\d+)->(\d+)$/.exec(word);
  if (parts === null) throw new Error(`"${word}" is no link`);
  return [Number(parts[1]), Number(parts[2])];
}

/** Words such as `1->2`, `->2`, `1->`, `append`. */
function filterOf(words: readonly string[]): (message: Message) => boolean {
  return (message) =>
    words.every((word) => {
      const parts = /^(\d*)->(\d*)$/.exec(word);
      if (parts === null) return message.type === word;
      return (parts[1] === "" || message.from === Number(parts[1])) && (parts[2] === "" || message.to === Number(parts[2]));
    });
}

export class Transcript {
  #cluster = new Cluster();
  #options: Partial<RaftOptions> = {};
  readonly #rules: RaftRules | undefined;
  #lines: string[] = [];
  #isTraced = false;

  constructor(rules?: RaftRules) {
    this.#rules = rules;
  }

  /** Runs the commands of a block; gives what they print. */
  run(commands: readonly string[]): string {
    this.#lines = [];
    for (const command of commands) {
      const [name = "", ...words] = command.trim().split(/\s+/);
      const act = this.#commands[name];
      if (act === undefined) throw new Error(`unknown command "${name}"`);
      act(words);
    }
    return this.#lines.join("\n");
  }

  #print(...lines: readonly string[]): void {
    this.#lines.push(...lines);
  }

  /** Speaks to one replica, which then does its Ready. */
  #at(word: string | undefined, act: (id: NodeId) => unknown): void {
    const id = Number(word);
    const said = act(id);
    if (said === false) this.#print(`${id} refuses`);
    this.#cluster.process(id);
  }

  readonly #commands: Readonly<Record<string, (words: readonly string[]) => void>> = {
    nodes: ([count, ...options]) => this.#begin(Number(count), parseOptions(options)),
    spare: ([id, ...options]) => void this.#cluster.add(Number(id), undefined, { ...this.#options, ...parseOptions(options) }),
    campaign: ([id]) => this.#at(id, (at) => this.#cluster.raft(at).campaign()),
    propose: ([id, ...texts]) => this.#at(id, (at) => texts.forEach((text) => this.#propose(at, text))),
    read: ([id, context]) => this.#at(id, (at) => this.#cluster.raft(at).readIndex(Number(context)).ok),
    transfer: ([id, to]) => this.#at(id, (at) => this.#cluster.raft(at).transferLeadership(Number(to))),
    quiesce: ([id, ...absent]) => this.#at(id, (at) => this.#cluster.raft(at).quiesce(absent.map(Number))),
    wake: ([id]) => this.#at(id, (at) => this.#cluster.raft(at).wake()),
    forget: ([id]) => this.#at(id, (at) => this.#cluster.raft(at).forgetLeader()),
    rank: ([id, rank]) => this.#at(id, (at) => this.#cluster.raft(at).setRank(Number(rank))),
    unreachable: ([id, node]) => this.#at(id, (at) => this.#cluster.raft(at).reportUnreachable(Number(node))),
    gate: ([id, entry]) => this.#at(id, (at) => this.#openGate(at, entry ?? "")),
    change: ([id, ...words]) => this.#at(id, (at) => this.#change(at, words)),
    leave: ([id]) => this.#at(id, (at) => this.#refusal(this.#cluster.raft(at).proposeConfiguration({ type: "leaveJoint" }))),
    compact: ([id, keep]) => this.#at(id, (at) => this.#cluster.at(at).compact(Number(keep ?? 0))),
    crash: ([id]) => this.#cluster.crash(Number(id)),
    restart: ([id]) => this.#at(id, (at) => this.#cluster.at(at).restart()),
    hold: ([id]) => void (this.#cluster.at(Number(id)).isHeld = true),
    begin: ([id]) => void this.#cluster.network.push(...this.#cluster.at(Number(id)).begin()),
    store: ([id]) => void this.#cluster.network.push(...this.#cluster.at(Number(id)).store()),
    finish: ([id]) => void this.#cluster.at(Number(id)).finish(),
    release: ([id]) => this.#at(id, (at) => void (this.#cluster.at(at).isHeld = false)),
    tick: ([id, count]) => this.#cluster.tick(Number(id), Number(count ?? 1)),
    "tick-all": ([count]) => this.#cluster.tickAll(Number(count ?? 1)),
    deliver: (words) => this.#deliver(words),
    lose: (words) => this.#lose(words),
    stabilize: () => this.#stabilize(),
    trace: ([word]) => void (this.#isTraced = word === "on"),
    drop: ([word]) => this.#cluster.cut(...link(word ?? "")),
    heal: ([word]) => this.#cluster.heal(...link(word ?? "")),
    isolate: ([id]) => this.#cluster.isolate(Number(id)),
    "heal-all": () => this.#cluster.healAll(),
    status: ([id]) => this.#each(id, (at) => this.#print(describeStatus(this.#cluster.raft(at).status()))),
    progress: ([id]) => this.#print(...describeProgress(this.#cluster.raft(Number(id)).status())),
    log: ([id]) => this.#each(id, (at) => this.#log(at)),
    network: () => this.#print(...this.#cluster.network.map(describeMessage)),
  };

  #begin(count: number, options: Partial<RaftOptions>): void {
    this.#options = options;
    const ids = Array.from({ length: count }, (_unused, at) => at + 1);
    this.#cluster = Cluster.of(ids, { raft: options, ...(this.#rules === undefined ? {} : { rules: this.#rules }) });
    this.#cluster.onReady = (id, ready) => this.#print(...describeReady(id, ready));
  }

  #each(word: string | undefined, act: (id: NodeId) => void): void {
    if (word !== undefined) act(Number(word));
    else for (const id of this.#cluster.replicas.keys()) act(id);
  }

  #refusal(result: ReturnType<Cluster["at"]>["raft"] extends { propose(data: Uint8Array): infer Result } ? Result : never): void {
    if (!result.ok) this.#print(`refused: ${result.reason}${result.leader === 0 ? "" : `, leader ${result.leader}`}`);
  }

  #propose(id: NodeId, text: string): void {
    this.#refusal(this.#cluster.raft(id).propose(Buffer.from(text)));
  }

  /** `entry`: index/term, as entries are shown. */
  #openGate(id: NodeId, entry: string): void {
    const [index, term] = entry.split("/");
    this.#cluster.raft(id).openCommitGate(Number(index), Number(term));
  }

  #change(id: NodeId, words: readonly string[]): void {
    const steps: ConfigurationStep[] = [];
    let transition: "auto" | "joint" | "explicit" = "auto";
    for (const word of words) {
      const type = stepTypes[word.charAt(0)];
      if (type !== undefined) steps.push({ type, node: Number(word.slice(1)) });
      else transition = word === "explicit" ? "explicit" : "joint";
    }
    const change: ConfigurationChange = { type: "change", steps, transition };
    this.#refusal(this.#cluster.raft(id).proposeConfiguration(change));
  }

  #deliver(words: readonly string[]): void {
    const matches = filterOf(words);
    this.#cluster.onDrop = (message) => this.#print(`lost: ${describeMessage(message)}`);
    this.#cluster.deliver((message) => {
      const isMeant = matches(message);
      if (isMeant) this.#print(describeMessage(message));
      return isMeant;
    });
    this.#cluster.onDrop = () => undefined;
    this.#cluster.process();
  }

  #lose(words: readonly string[]): void {
    const matches = filterOf(words);
    this.#cluster.network = this.#cluster.network.filter((message) => !matches(message));
  }

  #stabilize(): void {
    if (!this.#isTraced) {
      this.#cluster.stabilize();
      return;
    }
    this.#cluster.process();
    for (let rounds = 0; this.#cluster.network.length > 0 && rounds < 100; rounds++) this.#deliver([]);
  }

  #log(id: NodeId): void {
    const { log } = this.#cluster.at(id);
    const entries = log.lastIndex < log.firstIndex ? [] : log.entries(log.firstIndex, log.lastIndex + 1, Infinity);
    this.#print(`${id}: from ${log.firstIndex}: ${entries.map(describeEntry).join(", ")}`);
  }
}
