/**
 * Takes away everything that a testbed left on the machine, whatever became of the test: a shell process that waits until its standard input
 * closes, which happens when the test says so and also when the test process is killed.
 *
 * It ends the processes that carry the testbed's mark in their environment (each by its id), unmounts everything below the base directory, the
 * deepest first, and removes the directory. So one path of code cleans up after success, failure, SIGINT and SIGKILL. Looking at a process that hangs in exec,
 * because a file of its own is on a mount that nobody serves, hangs as well: each look has a time limit.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";

/** Every process of a testbed has this variable set to its base directory. */
export const testbedVariable = "CFS_TESTBED";

const script = `
base=$1
cat >/dev/null
stop() {
  for environ in /proc/[0-9]*/environ; do
    pid=\${environ#/proc/}; pid=\${pid%/environ}
    [ "$pid" = $$ ] && continue
    if timeout -s KILL 2 cat "$environ" 2>/dev/null | tr '\\0' '\\n' | grep -qxF "${testbedVariable}=$base"; then kill -9 "$pid"; fi
  done
} 2>/dev/null
unmount() {
  sed 's/^[^ ]* \\([^ ]*\\) .*/\\1/' /proc/mounts | grep -F "$base/" | sort -r | while read -r path; do umount -l "$(printf %b "\${path//\\\\/\\\\0}")"; done
} 2>/dev/null
stop
unmount
stop
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf --one-file-system "$base" 2>/dev/null && break
  unmount
  sleep 0.2
done
[ ! -e "$base" ]
`;

export class Janitor {
  readonly #child: ChildProcess;
  readonly #ended: Promise<readonly unknown[]>;

  constructor(base: string) {
    const environment = { ...process.env };
    delete environment[testbedVariable];
    // A group of its own: Ctrl-C at the terminal must not reach it.
    this.#child = spawn("bash", ["-c", script, "janitor", base], { stdio: ["pipe", "ignore", "ignore"], detached: true, env: environment });
    this.#ended = once(this.#child, "exit");
    this.#child.unref();
  }

  /** Cleans up now; false when something could not be removed. */
  async clean(): Promise<boolean> {
    this.#child.ref();
    this.#child.stdin?.end();
    const [code] = await this.#ended;
    return code === 0;
  }
}
