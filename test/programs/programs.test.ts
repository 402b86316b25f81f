/**
 * Everyday programs on the file system under test, without options of their own: version control, archives, copies, builds, databases,
 * editors, mounts on top. Each proves its result with another program or with a copy on the machine's own disk, and cleans up.
 *
 * A program that is not installed is skipped aloud with the package that brings it. CFS_LONG=1 makes larger runs.
 */
import { existsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { missingPrograms, openReferenceDirectory, openTestDirectory, Workplace } from "@cfs/testkit/posix";
import { afterAll, describe, expect, test as base } from "vitest";

const isRoot = process.geteuid?.() === 0;
const isLong = process.env["CFS_LONG"] === "1";
const tested = await openTestDirectory();
const outside = openReferenceDirectory();
afterAll(async () => {
  await tested[Symbol.asyncDispose]();
  await outside[Symbol.asyncDispose]();
});

let places = 0;

/** Each test has a place of its own, on the file system under test and beside it. */
const test = base.extend<{ place: Workplace }>({
  // oxlint-disable-next-line no-empty-pattern -- vitest reads the names from the pattern
  place: async ({}, use) => {
    using place = new Workplace(tested.path, outside.path, `place-${(places += 1)}`);
    await use(place);
  },
});

/** Skips aloud when a program is not installed. */
function need(skip: (reason: string) => void, ...names: readonly string[]): void {
  const missing = missingPrograms(names);
  if (missing.length > 0) skip(`not installed: ${missing.join(", ")}`);
}

/** A tree with everything an archive can lose: names, modes, owners, times, links, holes, attributes, lists, a FIFO. */
const makeTree = `
mkdir -p tree/sub/deep "tree/with space" tree/empty
printf 'plain\\n' > tree/plain; printf '' > tree/nothing; head -c 300000 /dev/urandom > tree/sub/random
printf '\\xff' > "$(printf 'tree/name-\\xff\\xfe')"; printf 'x' > "tree/with space/new
line"
ln tree/plain tree/sub/hard; ln -s ../plain tree/sub/soft; ln -s nowhere tree/dangling; mkfifo tree/fifo
truncate -s 20M tree/sparse; printf 'island' | dd of=tree/sparse bs=1 seek=10000000 conv=notrunc status=none
chmod 4755 tree/plain; chmod 2770 tree/sub; chmod 1777 tree/empty; chmod 0 tree/nothing
`;
const addOwnersAndAttributes = `
chown 40001:40003 tree/sub/random; chown -h 40001:40001 tree/sub/soft
setfattr -n user.colour -v blue tree/plain; setfattr -n user.binary -v 0x00ff10 tree/sub
setfacl -m u:40001:rwx,g:40003:r-x tree/sub/random; setfacl -d -m u:40001:rwx tree/sub
`;
/** Old times: programs take a time within the last second for the same. */
const addTimes = `
find tree -depth -exec touch -h -d '2001-02-03 04:05:06.789012345' {} +; touch -h -d '1999-12-31' tree/dangling`;
/** One line a node with all that must survive; link counts and device-independent parts only. */
const describeTree = (folder: string): string => `
cd ${folder}; find . -mindepth 1 -printf '%P %y %m %U %G %n %s %l %T@\\n' | sed -E '/ d /s/ [0-9]+ ([0-9]+)  / D /' | LC_ALL=C sort -z | LC_ALL=C sort
find . -type f -print0 | sort -z | xargs -0 sha256sum; find . -print0 | LC_ALL=C sort -z | xargs -0 getfattr -h -d -m - 2>/dev/null | grep -v '^$' || true`;

describe("version control", () => {
  test("git keeps a thousand files", async ({ place, skip }) => {
    need(skip, "git");
    await place.shell(`
      git config --global user.email a@b; git config --global user.name n; git config --global init.defaultBranch main
      git init -q repo; cd repo
      for d in $(seq 20); do mkdir dir$d; for f in $(seq 50); do echo "file $f in $d" > dir$d/f$f; done; done
      git add .; git commit -qm first; git status --porcelain > ../status; test ! -s ../status
      for d in $(seq 20); do echo changed >> dir$d/f1; done; git commit -qam second
      git mv dir1 moved; git rm -q dir2/f2; git commit -qm third
      git gc -q --aggressive; git fsck --full --strict
      cd ..; git clone -q repo clone; git clone -q --no-local repo far`);
    const heads = await place.shell("for r in repo clone far; do git -C $r rev-parse HEAD HEAD:; git -C $r fsck; done");
    expect(new Set(heads.split("\n")).size).toBe(2);
    expect(await place.shell("find clone -path clone/.git -prune -o -type f -print | wc -l; diff -r -x .git repo far")).toBe("999");
    await place.shell(
      "cd clone; git checkout -q HEAD~2; test -f dir2/f2; git checkout -q -b side; git stash list; git worktree add -q ../tree main",
    );
  });
});

describe("archives and copies", () => {
  test("tar keeps everything", async ({ place, skip }) => {
    need(skip, "tar", "setfattr", "setfacl", "getfattr");
    await place.shell(`${makeTree}${isRoot ? addOwnersAndAttributes : ""}${addTimes}
      tar --xattrs --xattrs-include='*' --acls --sparse -cf $OUTSIDE/tree.tar tree; mkdir again
      tar --xattrs --xattrs-include='*' --acls --sparse -xpf $OUTSIDE/tree.tar -C again; tar --sparse -df $OUTSIDE/tree.tar`);
    expect(await place.shell(describeTree("again/tree"))).toBe(await place.shell(describeTree("tree")));
    expect(Number(await place.shell("du -k again/tree/sparse | cut -f1"))).toBeLessThan(4096);
  });

  test("rsync -aHAX copies once and then nothing", async ({ place, skip }) => {
    need(skip, "rsync", "setfattr", "setfacl", "getfattr");
    await place.shell(`${makeTree}${isRoot ? addOwnersAndAttributes : ""}${addTimes}
      rsync -aHAX --numeric-ids tree/ copy/; rsync -aHAX --numeric-ids tree/ $OUTSIDE/copy/`);
    expect(await place.shell(describeTree("copy"))).toBe(await place.shell(describeTree("tree")));
    expect(await place.shell(describeTree("$OUTSIDE/copy"))).toBe(await place.shell(describeTree("tree")));
    expect(await place.shell("rsync -aHAXi --numeric-ids tree/ copy/; rsync -aHAXi --numeric-ids --checksum $OUTSIDE/copy/ copy/")).toBe(
      "",
    );
    await place.shell("rm copy/plain; echo more >> copy/sub/random; rsync -aHAX --numeric-ids --delete tree/ copy/");
    expect(await place.shell(describeTree("copy"))).toBe(await place.shell(describeTree("tree")));
  });

  test("cp keeps holes and clones or copies", async ({ place, skip }) => {
    need(skip, "cp");
    await place.shell(`truncate -s 64M holes; printf end | dd of=holes bs=1 seek=67000000 conv=notrunc status=none
      head -c 5000000 /dev/urandom > full; head -c 8000000 /dev/zero > zeros
      cp --sparse=always zeros thin; cp holes copied; cp --sparse=always holes always; cp --reflink=auto full cloned; cp -a holes kept
      cmp zeros thin; cmp holes copied; cmp holes always; cmp holes kept; cmp full cloned
      echo changed >> cloned; test $(stat -c %s full) = 5000000`);
    const blocks = await place.shell("du -k thin copied always kept | cut -f1");
    expect(blocks.split("\n").every((kib) => Number(kib) < 2048)).toBe(true);
  });

  test("cp -a and diff -r over a tree", async ({ place, skip }) => {
    need(skip, "cp", "diff");
    expect(
      await place.shell(`mkdir from; for i in $(seq 300); do mkdir -p from/d$((i % 7)); head -c $((i * 137)) /dev/urandom > from/d$((i % 7))/f$i; done
      cp -a from to; diff -r from to; cp -al to linked; test $(stat -c %h to/d1/f1) = 2; mv linked moved; rm -r to; diff -r from moved`),
    ).toBe("");
  });

  test("find, du and rm -rf over five thousand files", async ({ place, skip }) => {
    need(skip, "find", "du");
    await place.shell(`mkdir many; for d in $(seq 50); do mkdir -p many/$d/sub; (cd many/$d/sub; seq 100 | xargs touch); done`);
    expect(await place.shell("find many -type f | wc -l; find many -type d | wc -l; find many -name 77 | wc -l")).toBe("5000\n101\n50");
    expect(await place.shell("ls -lR many | grep -c '^-'; du -a many | wc -l")).toBe("5000\n5101");
    await place.shell("find many -type f -name '*7' -delete; test $(find many -type f | wc -l) = 4500; rm -rf many; test ! -e many");
  });
});

describe("builds", () => {
  test("make -j builds a C project", async ({ place, skip }) => {
    need(skip, "make", "cc");
    await place.shell(`mkdir -p src obj
      for i in $(seq 40); do printf '#include "all.h"\\nint part%s(int x) { return x + %s; }\\n' $i $i > src/p$i.c; done
      for i in $(seq 40); do echo "int part$i(int x);"; done > src/all.h
      { echo '#include <stdio.h>'; echo '#include "all.h"'; echo 'int main(void) { int x = 0;'; for i in $(seq 40); do echo "x = part$i(x);"; done; echo 'printf("%d\\n", x); return 0; }'; } > src/main.c
      printf 'OBJECTS := $(patsubst src/%%.c,obj/%%.o,$(wildcard src/*.c))\\nprogram: lib.a obj/main.o\\n\\tcc -o $@ obj/main.o lib.a\\nlib.a: $(filter-out obj/main.o,$(OBJECTS))\\n\\tar rcs $@ $^\\nobj/%%.o: src/%%.c src/all.h\\n\\tcc -O1 -c -o $@ $<\\n' > Makefile
      make -j4 -s`);
    expect(await place.shell("./program; make -s -q && echo fresh; touch src/p7.c; make -n | grep -c 'cc -O1'")).toBe("820\nfresh\n1");
  });

  test("npm ci installs and the packages run", async ({ place, skip }) => {
    need(skip, "npm", "node");
    const dependencies = { semver: "7.7.3", ms: "2.1.3", "fast-check": "4.10.2" };
    writeFileSync(join(place.path, "package.json"), JSON.stringify({ name: "place", version: "1.0.0", private: true, dependencies }));
    const cache = join(tmpdir(), "cfs-test-npm-cache");
    const env = { npm_config_cache: cache, npm_config_update_notifier: "false", npm_config_fund: "false", npm_config_audit: "false" };
    const userConfig = join(process.env["HOME"] ?? "", ".npmrc");
    const config = existsSync(userConfig) ? { npm_config_userconfig: userConfig } : {};
    try {
      await place.shell("npm install --package-lock-only --prefer-offline", { env: { ...env, ...config } });
    } catch (error) {
      skip(`no package registry: ${String(error).slice(0, 200)}`);
    }
    await place.shell("npm ci --prefer-offline", { env: { ...env, ...config } });
    expect(await place.shell(`node -p "require('semver').gt('1.2.3', '1.2.2') + require('ms')('2 days')"`)).toBe("172800001");
    await place.shell("npm ci --prefer-offline; npm ls --all", { env: { ...env, ...config } });
  });
});

describe("databases", () => {
  const journals = ["wal", "delete", "truncate", "persist"] as const;
  for (const journal of journals)
    test(`SQLite with journal ${journal}, two processes`, async ({ place, skip }) => {
      need(skip, "sqlite3");
      expect(await place.shell(`sqlite3 db 'pragma journal_mode=${journal}; create table t (writer, n, bytes);'`)).toBe(journal);
      const rows = isLong ? 2000 : 150;
      const writer = (name: string): string =>
        `(for i in $(seq ${rows}); do echo "begin immediate; insert into t values ('${name}', $i, randomblob(500)); commit;"; done) | sqlite3 -cmd '.timeout 60000' db`;
      await place.shell(`${writer("a")} & first=$!; ${writer("b")} & second=$!; wait $first; wait $second`);
      expect(await place.shell("sqlite3 db 'pragma integrity_check; select writer, count(*), sum(n) from t group by writer;'")).toBe(
        `ok\na|${rows}|${(rows * (rows + 1)) / 2}\nb|${rows}|${(rows * (rows + 1)) / 2}`,
      );
      expect(
        await place.shell("sqlite3 db 'begin; delete from t; rollback; vacuum; pragma integrity_check; select count(*) from t;'"),
      ).toBe(`ok\n${rows * 2}`);
    });

  test("SQLite rolls back what a killed writer left", async ({ place, skip }) => {
    need(skip, "sqlite3");
    await place.shell(`sqlite3 db 'pragma cache_size=5; create table t (n, b); insert into t values (1, 1);' > /dev/null
mkfifo $OUTSIDE/commands; sqlite3 db < $OUTSIDE/commands > /dev/null & writer=$!; exec 3> $OUTSIDE/commands
      { echo 'pragma cache_size=5; begin;'; for i in $(seq 3000); do echo "insert into t values ($i, randomblob(300));"; done; echo '.shell touch written'; } >&3
      for i in $(seq 300); do test -e written && break; sleep 0.1; done; test -s db-journal
      kill -9 $writer; wait $writer 2> /dev/null || true; test -s db-journal`);
    expect(await place.shell("sqlite3 db 'pragma integrity_check; select count(*) from t;'")).toBe("ok\n1");
  });
});

describe("editors and tools", () => {
  test("vim edits and keeps a backup", async ({ place, skip }) => {
    need(skip, "vim");
    await place.shell(`printf 'one\\ntwo\\n' > text; chmod 640 text
      vim -u NONE -es -N -c 'set backup writebackup backupskip=' -c '%s/two/three/' -c 'wq' text < /dev/null`);
    expect(await place.shell("cat text; stat -c %a text; cat text~; ls -A")).toBe("one\nthree\n640\none\ntwo\ntext\ntext~");
  });

  test("dd with every kind of sync", async ({ place, skip }) => {
    need(skip, "dd");
    expect(
      await place.shell(`head -c 4M /dev/urandom > source
      for flag in conv=fsync conv=fdatasync oflag=sync oflag=dsync oflag=direct oflag=append,direct; do
        rm -f target; dd if=source of=target bs=512K $flag status=none; cmp source target; done
      dd if=source iflag=direct bs=64K status=none | cmp - source; dd if=source of=target bs=4K seek=10 skip=3 count=5 conv=notrunc status=none
      cmp -n 20480 -i 12288:40960 source target`),
    ).toBe("");
  });

  test("fio verifies what it wrote", async ({ place, skip }) => {
    need(skip, "fio");
    const size = isLong ? "512m" : "24m";
    expect(
      await place.shell(`fio --name=v --directory=. --size=${size} --rw=randwrite --bsrange=1k-128k --verify=crc32c --verify_fatal=1 --ioengine=psync --numjobs=2 --output=out1
      fio --name=d --directory=. --size=${size} --rw=randrw --bs=4k --direct=1 --verify=crc32c --verify_fatal=1 --ioengine=libaio --iodepth=8 --output=out2
      fio --name=m --directory=. --size=${size} --rw=randwrite --bs=4k --verify=crc32c --verify_fatal=1 --ioengine=mmap --output=out3`),
    ).toBe("");
  });

  test("appending loggers, tail and a rotation", async ({ place, skip }) => {
    need(skip, "tail");
    expect(
      await place.shell(`for w in a b c; do (for i in $(seq 200); do echo "$w $i" >> log; done) & done; wait
      test $(wc -l < log) = 600; mv log log.1; echo new > log; gzip log.1; test $(zcat log.1.gz | sort | uniq | wc -l) = 600`),
    ).toBe("");
  });

  test("sort, split, cat and sed -i on a larger text", async ({ place, skip }) => {
    need(skip, "sort", "split");
    expect(
      await place.shell(`seq 200000 | sort -R > shuffled; sort -n -T . -S 1M shuffled > sorted; seq 200000 | cmp - sorted
      split -b 100K sorted part-; cat part-* | cmp - sorted; sed -i s/^7/X/ sorted; test $(grep -c ^X sorted) = 11111`),
    ).toBe("");
  });
});

describe("mounts on top", () => {
  test("a bind mount shows the same files", async ({ place, skip }) => {
    need(skip, "mount");
    if (!isRoot) skip("mounts need root");
    expect(
      await place.shell(`mkdir real bound; echo 1 > real/file; mount --bind real bound
      trap 'umount bound' EXIT; cat bound/file; echo 2 > bound/new; test "$(cat real/new)" = 2; mv bound/new bound/file; test "$(cat real/file)" = 2`),
    ).toBe("1");
  });

  test("a loop device on a file", async ({ place, skip }) => {
    need(skip, "mount", "mke2fs", "losetup");
    if (!isRoot) skip("mounts need root");
    const mounted = await place.shell(
      "truncate -s 32M image; mke2fs -q -t ext4 image; mkdir inside; mount -o loop image inside || { echo refused; exit 0; }",
    );
    if (mounted.includes("refused")) skip("the kernel refuses a loop device here");
    expect(
      await place.shell(`trap 'umount inside' EXIT; head -c 5M /dev/urandom > inside/file; sync -f inside; cp inside/file $OUTSIDE/file`),
    ).toBe("");
    await place.shell("e2fsck -fn image; mount -o loop image inside; trap 'umount inside' EXIT; cmp inside/file $OUTSIDE/file");
  });

  test("overlayfs with this directory on top", async ({ place, skip }) => {
    need(skip, "mount");
    if (!isRoot) skip("mounts need root");
    const said =
      await place.shell(`mkdir lower upper work merged; echo low > lower/file; echo gone > lower/gone; mkdir lower/dir; echo deep > lower/dir/deep
      mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged 2> $OUTSIDE/why || { cat $OUTSIDE/why; echo refused; exit 0; }
      trap 'umount merged' EXIT
      test "$(cat merged/file)" = low; echo up > merged/file; test "$(cat lower/file)" = low; test "$(cat upper/file)" = up
      rm merged/gone; test ! -e merged/gone; test -c upper/gone; mv merged/dir merged/moved 2> /dev/null || cp -r merged/dir merged/moved
      test "$(cat merged/moved/deep)" = deep; mkdir merged/new; ln merged/file merged/new/hard; test $(stat -c %h merged/file) = 2; rm -r merged/new`);
    if (said.includes("refused")) skip(`the kernel refuses it here: ${said}`);
    expect(said).toBe("");
  });
});
