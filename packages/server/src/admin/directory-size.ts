/** Bytes that the files below a directory take on their drive, as du(1) counts. What goes away meanwhile counts nothing. */
import { lstat, readdir } from "node:fs/promises";

const statBlockBytes = 512;

export async function directoryBytes(path: string): Promise<number> {
  const entries = await readdir(path, { recursive: true }).catch(() => []);
  let bytes = 0;
  for (const name of entries) {
    const info = await lstat(`${path}/${name}`).catch(() => null);
    if (info !== null) bytes += info.blocks * statBlockBytes;
  }
  return bytes;
}
