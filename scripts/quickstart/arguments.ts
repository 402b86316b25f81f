/** The words after `npm run quickstart --`: a mount point, or stop or destroy, and --port. */
import { isAbsolute, relative, resolve } from "node:path";
import { Problem } from "./problem.ts";
import { defaultPort } from "./state.ts";

export type Order =
  | { readonly verb: "start"; readonly mountPoint: string; readonly port: number | null }
  | { readonly verb: "stop" | "destroy" | "help" };

export const usage: string = `Use: npm run quickstart                     start cfs and mount it at ./mnt
     npm run quickstart -- MOUNTPOINT       mount it there instead
     npm run quickstart -- --port N …       listen on 127.0.0.1:N (default ${defaultPort})
     npm run quickstart -- stop             unmount and stop; the data stays
     npm run quickstart -- destroy          stop and delete the data`;

function parsePort(text: string | undefined): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new Problem(`--port wants a number from 1 to 65535, not "${text ?? ""}"`, usage);
  return port;
}

/** `from` is the folder that a relative mount point is meant from. */
export function parseOrder(words: readonly string[], root: string, from: string): Order {
  let port: number | null = null;
  const names: string[] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    if (word === "--help" || word === "-h" || word === "help") return { verb: "help" };
    if (word === "--port") port = parsePort(words[++index]);
    else if (word.startsWith("--port=")) port = parsePort(word.slice("--port=".length));
    else if (word.startsWith("-")) throw new Problem(`unknown option ${word}`, usage);
    else names.push(word);
  }
  const [name, extra] = names;
  if (extra !== undefined) throw new Problem(`one mount point at a time, not also "${extra}"`, usage);
  if (name === "stop" || name === "destroy") return { verb: name };
  const mountPoint = name === undefined || name === "start" ? resolve(root, "mnt") : resolve(from, name);
  const inside = relative(resolve(root, ".cfs-quickstart"), mountPoint);
  if (!inside.startsWith("..") && !isAbsolute(inside))
    throw new Problem(`${mountPoint} is where quickstart keeps the data`, "Choose another mount point.");
  return { verb: "start", mountPoint, port };
}
