/**
 * Binary form of sessions, superblock and usage sums: the values of keys C, B and U.
 *
 * Every record begins with its version (1). v = varint.
 *
 *     session     | clientId | seq v | count v | begin v, end v | …
 *     superblock  | formatVersion v | clusterId | nextInodeCount v | nextSegment v | drive count v | drives |
 *     drive       | index v | id | state 1 |
 *     usage       | inodes | allocatedBytes | segmentLiveBytes | segmentStoredBytes | fragmentBytes | segments | journalLiveBytes | reservedBytes |   all v
 */
import { ByteReader, ByteWriter } from "@cfs/core";
import { readList } from "./content-format.ts";
import { corrupt, readClientId } from "./record-format.ts";
import type { DriveRecord, DriveState, Session, Superblock, Usage } from "./records.ts";

const version = 1;
const shared = new ByteWriter(1024);
/** The numbers are on disk: never changed. */
const driveStates: readonly DriveState[] = ["ok", "failed", "draining", "removed"];

function begin(bytes: Uint8Array, what: string): ByteReader {
  const reader = new ByteReader(bytes, what);
  if (reader.u8() !== version) corrupt(`${what} has an unknown version`);
  return reader;
}

export function encodeSession(session: Session): Uint8Array {
  shared.u8(version).latin1(session.clientId).varint(session.seq).varint(session.grants.length);
  for (const grant of session.grants) shared.varint(grant.begin).varint(grant.end);
  return shared.take();
}

function readGrant(reader: ByteReader): { begin: number; end: number } {
  const grant = { begin: reader.varint(), end: reader.varint() };
  if (grant.begin >= grant.end) corrupt("a grant of inode numbers is empty");
  return grant;
}

export function decodeSession(bytes: Uint8Array): Session {
  const reader = begin(bytes, "a session record");
  const clientId = readClientId(reader);
  const seq = reader.varint();
  const grants = readList(reader, reader.varint(), readGrant);
  reader.end();
  return { clientId, seq, grants };
}

export function writeDrive(writer: ByteWriter, drive: DriveRecord): void {
  writer.varint(drive.index).utf8(drive.id).u8(driveStates.indexOf(drive.state));
}

export function readDrive(reader: ByteReader): DriveRecord {
  return { index: reader.varint(), id: reader.utf8(), state: driveStates[reader.u8()] ?? corrupt("the state of a drive is out of range") };
}

export function encodeSuperblock(superblock: Superblock): Uint8Array {
  shared
    .u8(version)
    .varint(superblock.formatVersion)
    .utf8(superblock.clusterId)
    .varint(superblock.nextInodeCount)
    .varint(superblock.nextSegment);
  shared.varint(superblock.drives.length);
  for (const drive of superblock.drives) writeDrive(shared, drive);
  return shared.take();
}

export function decodeSuperblock(bytes: Uint8Array): Superblock {
  const reader = begin(bytes, "the superblock");
  const formatVersion = reader.varint();
  const clusterId = reader.utf8();
  const nextInodeCount = reader.varint();
  const nextSegment = reader.varint();
  const drives = readList(reader, reader.varint(), readDrive);
  reader.end();
  return { formatVersion, clusterId, nextInodeCount, nextSegment, drives };
}

export function encodeUsage(usage: Usage): Uint8Array {
  shared.u8(version).varint(usage.inodes).varint(usage.allocatedBytes).varint(usage.segmentLiveBytes).varint(usage.segmentStoredBytes);
  return shared.varint(usage.fragmentBytes).varint(usage.segments).varint(usage.journalLiveBytes).varint(usage.reservedBytes).take();
}

export function decodeUsage(bytes: Uint8Array): Usage {
  const reader = begin(bytes, "the usage record");
  const usage = {
    inodes: reader.varint(),
    allocatedBytes: reader.varint(),
    segmentLiveBytes: reader.varint(),
    segmentStoredBytes: reader.varint(),
    fragmentBytes: reader.varint(),
    segments: reader.varint(),
    journalLiveBytes: reader.varint(),
    reservedBytes: reader.varint(),
  };
  reader.end();
  return usage;
}

export function emptyUsage(): Usage {
  return {
    inodes: 0,
    allocatedBytes: 0,
    segmentLiveBytes: 0,
    segmentStoredBytes: 0,
    fragmentBytes: 0,
    segments: 0,
    journalLiveBytes: 0,
    reservedBytes: 0,
  };
}
