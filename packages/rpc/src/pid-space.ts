/** Where a process id means something: this boot of this machine, and the PID namespace (pid_namespaces(7)). Two that say the same see the same processes. */
import { readFileSync, readlinkSync } from "node:fs";

/** Empty where it cannot be told. */
export function pidSpace(): string {
  try {
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    // No /proc: then nobody waits for the process by its number.
    return "";
  }
}
