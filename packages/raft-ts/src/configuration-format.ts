/**
 * A configuration as bytes: the data of a configuration entry, and part of a snapshot's description.
 *
 * Format, version 1: | version 1 | flags 1 (bit 0: autoLeave) | voters | votersOutgoing | learners | learnersNext |, each list | count varint | node varint … |.
 * An entry holds the whole configuration, not the step to it: whoever has the entry needs nothing else.
 */
import { assert, ByteReader, ByteWriter, CfsError } from "@cfs/core";
import { type Configuration, isSound, membersMax } from "./configuration.ts";
import type { NodeId } from "./entry.ts";

const version = 1;
const what = "raft configuration";

export function writeConfiguration(writer: ByteWriter, configuration: Configuration): void {
  assert(isSound(configuration), "only a sound configuration is written");
  writer.u8(version).u8(configuration.autoLeave ? 1 : 0);
  const { voters, votersOutgoing, learners, learnersNext } = configuration;
  for (const nodes of [voters, votersOutgoing, learners, learnersNext]) {
    writer.varint(nodes.length);
    for (const node of nodes) writer.varint(node);
  }
}

function readNodes(reader: ByteReader): NodeId[] {
  const count = reader.varint();
  if (count > membersMax) throw new CfsError("CORRUPT", `${what} has a list of ${count} nodes, at most ${membersMax}`);
  return Array.from({ length: count }, () => reader.varint());
}

export function readConfiguration(reader: ByteReader): Configuration {
  const found = reader.u8();
  if (found !== version) throw new CfsError("CORRUPT", `${what} has version ${found}, ${version} is known`);
  const flags = reader.u8();
  if (flags > 1) throw new CfsError("CORRUPT", `${what} has unknown flags ${flags}`);
  const configuration: Configuration = {
    voters: readNodes(reader),
    votersOutgoing: readNodes(reader),
    learners: readNodes(reader),
    learnersNext: readNodes(reader),
    autoLeave: flags === 1,
  };
  if (!isSound(configuration)) throw new CfsError("CORRUPT", `${what} contradicts itself`);
  return configuration;
}

export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const writer = new ByteWriter(64);
  writeConfiguration(writer, configuration);
  return writer.take();
}

export function decodeConfiguration(bytes: Uint8Array): Configuration {
  const reader = new ByteReader(bytes, what);
  const configuration = readConfiguration(reader);
  reader.end();
  return configuration;
}
