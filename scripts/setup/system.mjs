/**
 * What must be on the machine before anything is built: Linux with FUSE, a C compiler, a Rust toolchain, the system libraries.
 *
 * Each need is probed by what is really used (a program or a file), so a machine without dpkg works as well. What is missing is
 * installed by apt-get when this runs as root; otherwise the exact command is printed and the set-up stops.
 */
import { accessSync, constants, existsSync, readFileSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { SetupProblem, pinnedEnvironment, probe, root, run, say } from "./step.mjs";

function onPath(program) {
  return pinnedEnvironment()
    .PATH.split(delimiter)
    .concat("/usr/sbin", "/sbin")
    .some((folder) => {
      try {
        accessSync(join(folder, program), constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** A shared library that the linker can find, in the folders of the common distributions. */
function hasLibrary(file) {
  const folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64", "/lib"];
  const nested = existsSync("/usr/lib")
    ? readdirSync("/usr/lib")
        .filter((name) => name.includes("-linux-"))
        .map((name) => join("/usr/lib", name))
    : [];
  return [...folders, ...nested].some((folder) => existsSync(join(folder, file)));
}

/** `for: "run"` is needed to build and mount; `for: "test"` only by the system tests. */
const needs = [
  { apt: "gcc", for: "run", found: () => onPath("cc") || onPath("gcc") },
  { apt: "libc6-dev", for: "run", found: () => existsSync("/usr/include/stdio.h") },
  { apt: "make", for: "run", found: () => onPath("make") },
  { apt: "libisal-dev", for: "run", found: () => hasLibrary("libisal.so") },
  { apt: "fuse3", for: "run", found: () => onPath("fusermount3") },
  { apt: "attr", for: "test", found: () => onPath("setfattr") },
  { apt: "acl", for: "test", found: () => onPath("setfacl") },
  { apt: "git", for: "test", found: () => onPath("git") },
  { apt: "rsync", for: "test", found: () => onPath("rsync") },
  { apt: "sqlite3", for: "test", found: () => onPath("sqlite3") },
  { apt: "fio", for: "test", found: () => onPath("fio") },
  { apt: "strace", for: "test", found: () => onPath("strace") },
];

function checkPlatform() {
  if (process.platform !== "linux") {
    throw new SetupProblem(
      `cfs runs on Linux, this is ${process.platform}`,
      "Use a Linux machine or virtual machine with kernel 5.10 or later.",
    );
  }
  if (process.arch !== "x64" && process.arch !== "arm64")
    throw new SetupProblem(`cfs is built for x64 and arm64, this machine is ${process.arch}`);
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20)
    throw new SetupProblem(
      `the set-up needs Node 20 or later, this is ${process.version}`,
      "Install a current Node and run the same command again.",
    );
  if (!existsSync("/dev/fuse")) {
    say("warning: there is no /dev/fuse, so mounting will fail (load it with: modprobe fuse; in a container: --device /dev/fuse)");
  }
}

function checkRust() {
  const version = probe("rustc", ["--version"])?.match(/^rustc (\d+)\.(\d+)/);
  const wanted = readFileSync(join(root, "native", "Cargo.toml"), "utf8").match(/rust-version = "(\d+)\.(\d+)"/);
  if (!version || !probe("cargo", ["--version"])) {
    throw new SetupProblem(
      "there is no Rust toolchain (rustc and cargo)",
      "Install it as https://rustup.rs says, then run the same command again.",
    );
  }
  const enough = Number(version[1]) > Number(wanted[1]) || (version[1] === wanted[1] && Number(version[2]) >= Number(wanted[2]));
  if (!enough)
    throw new SetupProblem(
      `Rust ${wanted[1]}.${wanted[2]} or later is needed, found ${version[1]}.${version[2]}`,
      "Run: rustup update stable",
    );
}

async function install(packages) {
  const apt = (...args) =>
    run("apt-get", args, {
      env: { ...pinnedEnvironment(), DEBIAN_FRONTEND: "noninteractive" },
      cure: "Install them by hand, then run the same command again.",
    });
  const args = ["install", "--yes", "--no-install-recommends", ...packages];
  say(`installing ${packages.join(" ")}`);
  try {
    await apt(...args);
  } catch (reason) {
    if (!(reason instanceof SetupProblem) || reason.exitCode === 130) throw reason;
    say("the package lists may be old; refreshing them");
    await apt("update");
    await apt(...args);
  }
}

/** `level` is "run" or "test". */
export async function checkSystem(level) {
  checkPlatform();
  const missing = needs.filter((need) => (level === "test" || need.for === "run") && !need.found()).map((need) => need.apt);
  if (missing.length > 0) {
    if (!onPath("apt-get"))
      throw new SetupProblem(
        `these are missing (Debian's names): ${missing.join(" ")}`,
        "Install them with your package manager, then run the same command again.",
      );
    if (process.getuid() !== 0) {
      throw new SetupProblem(
        `system packages are missing: ${missing.join(" ")}`,
        `Run: sudo apt-get install --no-install-recommends ${missing.join(" ")}`,
      );
    }
    await install(missing);
  }
  checkRust();
}
