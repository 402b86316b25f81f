/*
 * rename and renameat2: every pair of types with every flag, then loops, links, permissions, link counts, atomicity.
 */
#include "harness.h"

enum kind { NONE, FILE_, EMPTY, FULL, LINK, LINK_TO_DIR, FIFO, SOCKET, DEVICE, KIND_COUNT };
static const char *const kindNames[] = {"nothing", "file", "directory", "full-directory", "symlink", "symlink-to-directory", "fifo", "socket", "device"};

static void make_kind(enum kind kind, const char *path) {
  switch (kind) {
    case FILE_: make_text(path, path); break;
    case EMPTY: make_dir(path, 0755); break;
    case FULL: make_dir(path, 0755); make_file(format_text("%s/inside", path), 0644); break;
    case LINK: OK(symlink("nowhere", path)); break;
    case LINK_TO_DIR: OK(symlink("other", path)); break;
    case FIFO: OK(mkfifo(path, 0644)); break;
    case SOCKET: make_socket(path); break;
    case DEVICE: OK(mknod(path, S_IFCHR | 0600, makedev(1, 3))); break;
    default: break;
  }
}

static bool is_dir(enum kind kind) { return kind == EMPTY || kind == FULL; }

struct pair {
  enum kind source, target;
};
static struct pair pairs[KIND_COUNT * KIND_COUNT];

/* The inode of a name, 0 when there is none. */
static ino_t ino_or_none(const char *path) { return exists(path) ? ino_of(path) : 0; }

static void set_scene(const struct pair *pair, ino_t *source, ino_t *target) {
  make_dir("other", 0755);
  make_kind(pair->source, "source");
  make_kind(pair->target, "target");
  *source = ino_or_none("source");
  *target = ino_or_none("target");
}

static void expect_same(ino_t source, ino_t target) {
  EQ(ino_or_none("source"), source);
  EQ(ino_or_none("target"), target);
}

static void plain(const void *argument) {
  const struct pair *pair = argument;
  ino_t source, target;
  set_scene(pair, &source, &target);
  nlink_t before = links_of(".");
  int refusal = pair->target == NONE                            ? 0
                : is_dir(pair->source) && !is_dir(pair->target) ? ENOTDIR
                : !is_dir(pair->source) && is_dir(pair->target) ? EISDIR
                : pair->target == FULL                          ? ENOTEMPTY
                                                                : 0;
  if (refusal) {
    if (refusal == ENOTEMPTY)
      ERR2(ENOTEMPTY, EEXIST, rename("source", "target"));
    else
      ERR(refusal, rename("source", "target"));
    expect_same(source, target);
    return;
  }
  OK(rename("source", "target"));
  expect_same(0, source);
  EQ(links_of("."), before - (is_dir(pair->target) ? 1 : 0));
  if (pair->source == FULL) TRUE(exists("target/inside"));
  if (pair->source == FILE_) check_text("target", "source");
}

static void no_replace(const void *argument) {
  const struct pair *pair = argument;
  ino_t source, target;
  set_scene(pair, &source, &target);
  if (pair->target != NONE) {
    ERR(EEXIST, rename2("source", "target", RENAME_NOREPLACE));
    expect_same(source, target);
    return;
  }
  OK(rename2("source", "target", RENAME_NOREPLACE));
  expect_same(0, source);
}

static void exchange(const void *argument) {
  const struct pair *pair = argument;
  ino_t source, target;
  set_scene(pair, &source, &target);
  nlink_t before = links_of(".");
  if (pair->target == NONE) {
    ERR(ENOENT, rename2("source", "target", RENAME_EXCHANGE));
    expect_same(source, 0);
    return;
  }
  OK(rename2("source", "target", RENAME_EXCHANGE));
  expect_same(target, source);
  EQ(links_of("."), before);
  if (pair->source == FULL) TRUE(exists("target/inside"));
}

AT_START(add_pairs) {
  for (int source = FILE_; source < KIND_COUNT; source++)
    for (int target = NONE; target < KIND_COUNT; target++) {
      struct pair *pair = &pairs[source * KIND_COUNT + target];
      *pair = (struct pair){source, target};
      add_case_named(plain, pair, "rename/%s-onto-%s", kindNames[source], kindNames[target]);
      add_case_named(no_replace, pair, "rename/noreplace-%s-onto-%s", kindNames[source], kindNames[target]);
      add_case_named(exchange, pair, "rename/exchange-of-%s-and-%s", kindNames[source], kindNames[target]);
    }
}

CASE("rename/onto-itself-does-nothing") {
  make_text("a", "x");
  OK(rename("a", "a"));
  OK(rename2("a", "a", RENAME_EXCHANGE));
  ERR(EEXIST, rename2("a", "a", RENAME_NOREPLACE));
  check_text("a", "x");
}

CASE("rename/onto-another-link-of-the-same-inode-keeps-both") {
  make_text("a", "x");
  OK(link("a", "b"));
  OK(rename("a", "b"));
  TRUE(exists("a"));
  TRUE(exists("b"));
  EQ(links_of("a"), 2);
}

CASE("rename/directory-into-itself-or-below") {
  make_dir("d", 0755);
  make_dir("d/e", 0755);
  make_dir("d/e/f", 0755);
  ERR(EINVAL, rename("d", "d/e/new"));
  ERR(EINVAL, rename("d", "d/new"));
  ERR(EINVAL, rename("d", "d/e/f"));
  ERR(EINVAL, rename2("d", "d/e/f", RENAME_EXCHANGE));
  ERR(EINVAL, rename2("d/e/f", "d", RENAME_EXCHANGE));
}

CASE("rename/onto-an-ancestor") {
  make_dir("d", 0755);
  make_dir("d/e", 0755);
  make_file("d/e/f", 0644);
  ERR2(ENOTEMPTY, EEXIST, rename("d/e", "d"));
  ERR2(ENOTEMPTY, EISDIR, rename("d/e/f", "d"));
}

CASE("rename/dot-and-dot-dot") {
  make_dir("d", 0755);
  ERR2(EBUSY, EINVAL, rename("d/.", "e"));
  ERR2(EBUSY, EINVAL, rename("d/..", "e"));
  ERR2(EBUSY, EINVAL, rename("d", "d/."));
}

CASE("rename/directory-to-another-parent-moves-dot-dot-and-links") {
  make_dir("a", 0755);
  make_dir("b", 0755);
  make_dir("a/d", 0755);
  OK(rename("a/d", "b/d"));
  EQ(links_of("a"), 2);
  EQ(links_of("b"), 3);
  EQ(ino_of("b/d/.."), ino_of("b"));
}

CASE("rename/directory-replaces-empty-one-in-another-parent") {
  make_dir("a", 0755);
  make_dir("b", 0755);
  make_dir("a/d", 0755);
  make_dir("b/d", 0755);
  int old = open_or_fail("b/d", O_RDONLY | O_DIRECTORY);
  OK(rename("a/d", "b/d"));
  EQ(links_of("a"), 2);
  EQ(links_of("b"), 3);
  struct stat found;
  OK(fstat(old, &found));
  EQ(found.st_nlink, 0);
}

CASE("rename/exchange-of-directory-and-file-in-two-parents") {
  make_dir("a", 0755);
  make_dir("b", 0755);
  make_dir("a/x", 0755);
  make_file("a/x/inside", 0644);
  make_text("b/y", "text");
  OK(rename2("a/x", "b/y", RENAME_EXCHANGE));
  check_text("a/x", "text");
  TRUE(exists("b/y/inside"));
  EQ(links_of("a"), 2);
  EQ(links_of("b"), 3);
  EQ(ino_of("b/y/.."), ino_of("b"));
}

CASE("rename/exchange-of-directories-in-two-parents") {
  make_dir("a", 0755);
  make_dir("b", 0755);
  make_dir("a/x", 0755);
  make_dir("b/y", 0755);
  make_file("a/x/1", 0644);
  make_file("b/y/2", 0644);
  OK(rename2("a/x", "b/y", RENAME_EXCHANGE));
  TRUE(exists("a/x/2"));
  TRUE(exists("b/y/1"));
  EQ(ino_of("b/y/.."), ino_of("b"));
  EQ(ino_of("a/x/.."), ino_of("a"));
}

CASE("rename/replaced-open-file-lives-on") {
  int old = open_or_fail("target", O_CREAT | O_RDWR);
  EQ(OK(write(old, "old", 3)), 3);
  make_text("source", "new");
  OK(rename("source", "target"));
  struct stat found;
  OK(fstat(old, &found));
  EQ(found.st_nlink, 0);
  check_range(old, 0, "old", 3);
  check_text("target", "new");
}

CASE("rename/replaced-file-with-another-name-loses-one-link") {
  make_text("target", "old");
  OK(link("target", "kept"));
  make_text("source", "new");
  OK(rename("source", "target"));
  EQ(links_of("kept"), 1);
  check_text("kept", "old");
}

CASE("rename/open-descriptor-follows-the-file") {
  int fd = open_or_fail("a", O_CREAT | O_RDWR);
  OK(rename("a", "b"));
  EQ(OK(write(fd, "after", 5)), 5);
  check_text("b", "after");
}

CASE("rename/whiteout-leaves-a-device-0-0") {
  make_text("source", "x");
  OK(rename2("source", "target", RENAME_WHITEOUT));
  check_text("target", "x");
  struct stat found = stat_of("source");
  TRUE(S_ISCHR(found.st_mode));
  EQ(found.st_rdev, 0);
  OK(unlink("source"));
}

CASE("rename/whiteout-over-a-target-and-across-directories") {
  make_dir("d", 0755);
  make_text("source", "new");
  make_text("d/target", "old");
  OK(rename2("source", "d/target", RENAME_WHITEOUT));
  check_text("d/target", "new");
  TRUE(S_ISCHR(stat_of("source").st_mode));
  make_file("a", 0644);
  ERR(EEXIST, rename2("a", "d/target", RENAME_WHITEOUT | RENAME_NOREPLACE));
  TRUE(S_ISREG(stat_of("a").st_mode));
}

CASE("rename/whiteout-in-a-setgid-directory-has-its-group") {
  make_dir_of("d", ALICE, STAFF, 02755);
  make_text("d/source", "x");
  OK(rename2("d/source", "d/target", RENAME_WHITEOUT));
  EQ(stat_of("d/source").st_gid, STAFF);
}

CASE("rename/bad-flags") {
  make_file("a", 0644);
  make_file("b", 0644);
  ERR(EINVAL, rename2("a", "b", RENAME_NOREPLACE | RENAME_EXCHANGE));
  ERR(EINVAL, rename2("a", "b", RENAME_WHITEOUT | RENAME_EXCHANGE));
  ERR(EINVAL, rename2("a", "b", 1 << 20));
}

CASE("rename/to-another-file-system") {
  make_file("a", 0644);
  ERR(EXDEV, rename("a", "/proc/a"));
}

CASE("rename/needs-write-permission-on-both-directories") {
  make_dir_of("own", ALICE, ALICE, 0755);
  make_dir_of("foreign", BOB, BOB, 0755);
  make_file_of("own/file", ALICE, ALICE, 0644);
  make_file_of("foreign/file", ALICE, ALICE, 0644);
  AS(ALICE, ALICE) {
    ERR(EACCES, rename("own/file", "foreign/new"));
    ERR(EACCES, rename("foreign/file", "own/new"));
    ERR(EACCES, rename("foreign/file", "foreign/new"));
    OK(rename("own/file", "own/new"));
  }
}

CASE("rename/directory-to-another-parent-needs-write-permission-on-it") {
  make_dir_of("a", ALICE, ALICE, 0755);
  make_dir_of("b", ALICE, ALICE, 0755);
  make_dir_of("a/d", BOB, BOB, 0755);
  make_dir_of("a/own", ALICE, ALICE, 0555);
  AS(ALICE, ALICE) {
    ERR(EACCES, rename("a/d", "b/d")); /* its ".." would change */
    ERR(EACCES, rename("a/own", "b/own"));
    OK(rename("a/d", "a/e"));
  }
}

CASE("rename/name-of-255-bytes") {
  make_text("a", "x");
  char *name = long_name(255, 'n');
  OK(rename("a", name));
  check_text(name, "x");
  OK(rename(name, "b"));
  check_text("b", "x");
}

CASE("rename/is-atomic-for-a-reader") {
  make_text("target", "aaaaaaaa");
  pid_t child = fork_child();
  if (child == 0) {
    for (int i = 0; i < 300; i++) {
      make_text("temporary", i % 2 ? "aaaaaaaa" : "bbbbbbbb");
      OK(rename("temporary", "target"));
    }
    leave_child();
  }
  int status;
  for (long reads = 0; waitpid(child, &status, WNOHANG) == 0; reads++) {
    char text[16];
    int fd = OK(open("target", O_RDONLY)); /* never absent */
    EQ(OK(read(fd, text, sizeof text)), 8);
    TRUE(!memcmp(text, "aaaaaaaa", 8) || !memcmp(text, "bbbbbbbb", 8));
    OK(close(fd));
  }
  EQ(status, 0);
}

CASE("rename/exchange-is-atomic-for-a-reader") {
  make_text("a", "1");
  make_text("b", "2");
  pid_t child = fork_child();
  if (child == 0) {
    for (int i = 0; i < 500; i++) OK(rename2("a", "b", RENAME_EXCHANGE));
    leave_child();
  }
  int status;
  while (waitpid(child, &status, WNOHANG) == 0) {
    OK(close(OK(open("a", O_RDONLY))));
    OK(close(OK(open("b", O_RDONLY))));
  }
  EQ(status, 0);
  check_text("a", "1");
}

CASE("rename/crossing-moves-of-directories-never-loop") {
  make_dir("a", 0755);
  make_dir("b", 0755);
  pid_t child = fork_child();
  for (int i = 0; i < 200; i++) {
    if (child == 0) {
      rename("a", "b/a");
      rename("b/a", "a");
    } else {
      rename("b", "a/b");
      rename("a/b", "b");
    }
  }
  if (child == 0) leave_child();
  join_child(child);
  TRUE(exists("a") || exists("b"));
  nlink_t links = links_of(".");
  EQ(links, 2 + exists("a") + exists("b"));
}

CASE("rename/a-thousand-files-around-a-ring-of-directories") {
  for (int d = 0; d < 10; d++) make_dir(format_text("d%d", d), 0755);
  for (int i = 0; i < 100; i++) make_text(format_text("d0/f%d", i), format_text("text %d", i));
  for (int d = 0; d < 10; d++)
    for (int i = 0; i < 100; i++) OK(rename(format_text("d%d/f%d", d, i), format_text("d%d/f%d", (d + 1) % 10, i)));
  for (int i = 0; i < 100; i++) check_text(format_text("d0/f%d", i), format_text("text %d", i));
}
