/** Turns single bits of files over, where something is written: what a drive does that lies. */
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Random } from "@cfs/core";

const pageBytes = 4096;
const readBytes = 4 << 20;

/** All files below a directory. */
async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** Offsets of the pages of a file that are not all zeros. */
async function writtenPages(path: string): Promise<number[]> {
  const pages: number[] = [];
  const zeros = Buffer.alloc(pageBytes);
  const buffer = Buffer.alloc(readBytes);
  const file = await open(path, "r");
  try {
    for (let offset = 0; ; offset += readBytes) {
      const { bytesRead } = await file.read(buffer, 0, readBytes, offset);
      for (let at = 0; at < bytesRead; at += pageBytes) {
        const end = Math.min(at + pageBytes, bytesRead);
        if (buffer.compare(zeros, 0, end - at, at, end) !== 0) pages.push(offset + at);
      }
      if (bytesRead < readBytes) return pages;
    }
  } finally {
    await file.close();
  }
}

/** Flips `count` bits of one file, each in a random page that holds something. Returns where. */
async function flipBits(path: string, count: number, random: Random): Promise<string[]> {
  const pages = await writtenPages(path);
  const { size } = await stat(path);
  const flipped: string[] = [];
  const file = await open(path, "r+");
  try {
    for (let done = 0; done < count && pages.length > 0; done++) {
      const page = pages[Math.floor(random.next() * pages.length)] ?? 0;
      const offset = page + Math.floor(random.next() * Math.min(pageBytes, size - page));
      const bit = Math.floor(random.next() * 8);
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, offset);
      byte.writeUInt8(byte.readUInt8(0) ^ (1 << bit), 0);
      await file.write(byte, 0, 1, offset);
      flipped.push(`${path} byte ${offset} bit ${bit}`);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return flipped;
}

/** Flips `perFile` bits of every file of a drive that `isMeant` says yes to. */
export async function flipDrive(drive: string, isMeant: (name: string) => boolean, perFile: number, random: Random): Promise<string[]> {
  const flipped: string[] = [];
  for (const path of await filesBelow(drive)) {
    if (isMeant(path.slice(drive.length + 1))) flipped.push(...(await flipBits(path, perFile, random)));
  }
  return flipped;
}
