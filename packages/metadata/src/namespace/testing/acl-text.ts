/** ACLs as setfacl(1) writes them, for tests: "u::rwx,u:1000:r--,g::r-x,m::rwx,o::---". */
const tags: Readonly<Record<string, readonly [number, number]>> = { u: [0x01, 0x02], g: [0x04, 0x08], m: [0x10, 0x10], o: [0x20, 0x20] };
const letters = "xwr";

export function aclBytes(text: string): Uint8Array {
  const entries = text.split(",").map((entry) => {
    const [kind = "", id = "", permissions = ""] = entry.split(":");
    const [plain, named] = tags[kind] as readonly [number, number];
    const bits = permissions.split("").reduce((sum, letter) => sum | (letter === "-" ? 0 : 1 << letters.indexOf(letter)), 0);
    return { tag: id === "" ? plain : named, bits, id: id === "" ? 0xffff_ffff : Number(id) };
  });
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2, 0);
  entries.forEach(({ tag, bits, id }, index) => {
    bytes.writeUInt16LE(tag, 4 + 8 * index);
    bytes.writeUInt16LE(bits, 6 + 8 * index);
    bytes.writeUInt32LE(id, 8 + 8 * index);
  });
  return bytes;
}

export function aclText(bytes: Uint8Array | null): string | null {
  if (bytes === null) return null;
  const buffer = Buffer.from(bytes);
  const entries: string[] = [];
  for (let at = 4; at < buffer.length; at += 8) {
    const tag = buffer.readUInt16LE(at);
    const bits = buffer.readUInt16LE(at + 2);
    const [kind] = Object.entries(tags).find(([, numbers]) => numbers.includes(tag)) as [string, unknown];
    const id = tag === 0x02 || tag === 0x08 ? String(buffer.readUInt32LE(at + 4)) : "";
    entries.push(`${kind}:${id}:${["r", "w", "x"].map((letter) => ((bits >> letters.indexOf(letter)) & 1 ? letter : "-")).join("")}`);
  }
  return entries.join(",");
}
