/*
 * How every call that takes a path fails on a bad one: missing, through a file, too long, in a loop, without search permission.
 *
 * One row a call, one column a fault; `-new` calls need their last component absent, so ENOENT is asked of a missing parent.
 */
#include "harness.h"

struct path_call {
  const char *name;
  int (*run)(const char *path);
  bool makes; /* creates the last component */
};

static int as_close(int fd) {
  if (fd < 0) return -1;
  close(fd);
  return 0;
}
static int call_open(const char *path) { return as_close(open(path, O_RDONLY)); }
static int call_open_create(const char *path) { return as_close(open(path, O_RDWR | O_CREAT, 0644)); }
static int call_open_path(const char *path) { return as_close(open(path, O_PATH)); }
static int call_stat(const char *path) {
  struct stat found;
  return stat(path, &found);
}
static int call_lstat(const char *path) {
  struct stat found;
  return lstat(path, &found);
}
static int call_statfs(const char *path) {
  struct statvfs found;
  return statvfs(path, &found);
}
static int call_mkdir(const char *path) { return mkdir(path, 0755); }
static int call_mkfifo(const char *path) { return mkfifo(path, 0644); }
static int call_mknod(const char *path) { return mknod(path, S_IFREG | 0644, 0); }
static int call_symlink(const char *path) { return symlink("anywhere", path); }
static int call_link_source(const char *path) { return link(path, "linked"); }
static int call_link_target(const char *path) {
  as_close(open("source", O_CREAT | O_RDWR, 0644));
  return link("source", path);
}
static int call_unlink(const char *path) { return unlink(path); }
static int call_rmdir(const char *path) { return rmdir(path); }
static int call_rename_source(const char *path) { return rename(path, "renamed"); }
static int call_rename_target(const char *path) {
  as_close(open("source", O_CREAT | O_RDWR, 0644));
  return rename("source", path);
}
static int call_chmod(const char *path) { return chmod(path, 0600); }
static int call_chown(const char *path) { return chown(path, 0, 0); }
static int call_lchown(const char *path) { return lchown(path, 0, 0); }
static int call_truncate(const char *path) { return truncate(path, 0); }
static int call_utimens(const char *path) { return utimensat(AT_FDCWD, path, NULL, 0); }
static int call_access(const char *path) { return access(path, F_OK); }
static int call_readlink(const char *path) {
  char text[16];
  return readlink(path, text, sizeof text);
}
static int call_chdir(const char *path) { return chdir(path); }
static int call_opendir(const char *path) { return as_close(open(path, O_RDONLY | O_DIRECTORY)); }
static int call_getxattr(const char *path) {
  char text[16];
  return getxattr(path, "user.a", text, sizeof text);
}
static int call_setxattr(const char *path) { return setxattr(path, "user.a", "v", 1, 0); }
static int call_listxattr(const char *path) { return listxattr(path, NULL, 0); }
static int call_removexattr(const char *path) { return removexattr(path, "user.a"); }

static const struct path_call calls[] = {
    {"open", call_open, false},
    {"open-creat", call_open_create, true},
    {"open-path", call_open_path, false},
    {"stat", call_stat, false},
    {"lstat", call_lstat, false},
    {"statfs", call_statfs, false},
    {"mkdir", call_mkdir, true},
    {"mkfifo", call_mkfifo, true},
    {"mknod", call_mknod, true},
    {"symlink", call_symlink, true},
    {"link-source", call_link_source, false},
    {"link-target", call_link_target, true},
    {"unlink", call_unlink, false},
    {"rmdir", call_rmdir, false},
    {"rename-source", call_rename_source, false},
    {"rename-target", call_rename_target, true},
    {"chmod", call_chmod, false},
    {"chown", call_chown, false},
    {"lchown", call_lchown, false},
    {"truncate", call_truncate, false},
    {"utimensat", call_utimens, false},
    {"access", call_access, false},
    {"readlink", call_readlink, false},
    {"chdir", call_chdir, false},
    {"opendir", call_opendir, false},
    {"getxattr", call_getxattr, false},
    {"setxattr", call_setxattr, false},
    {"listxattr", call_listxattr, false},
    {"removexattr", call_removexattr, false},
};

static void missing(const void *argument) {
  const struct path_call *call = argument;
  ERR(ENOENT, call->run("absent/name"));
  if (!call->makes) ERR(ENOENT, call->run("absent"));
  ERR(ENOENT, call->run(""));
  OK(symlink("nowhere", "dangling"));
  ERR(ENOENT, call->run("dangling/name"));
}

static void through_a_file(const void *argument) {
  const struct path_call *call = argument;
  make_file("file", 0644);
  OK(mkfifo("fifo", 0644));
  OK(symlink("file", "link"));
  ERR(ENOTDIR, call->run("file/name"));
  ERR(ENOTDIR, call->run("fifo/name"));
  ERR(ENOTDIR, call->run("link/name"));
}

static void too_long(const void *argument) {
  const struct path_call *call = argument;
  ERR(ENAMETOOLONG, call->run(long_name(256, 'n')));
  make_dir("d", 0755);
  ERR(ENAMETOOLONG, call->run(format_text("d/%s", long_name(256, 'n'))));
  ERR(ENAMETOOLONG, call->run(format_text("%s/name", long_name(256, 'n'))));
  char *path = long_name(PATH_MAX, '/');
  for (int i = 0; i < PATH_MAX; i += 2) path[i] = '.';
  ERR(ENAMETOOLONG, call->run(path)); /* PATH_MAX counts the NUL */
}

static void loop(const void *argument) {
  const struct path_call *call = argument;
  OK(symlink("two", "one"));
  OK(symlink("one", "two"));
  OK(symlink("self", "self"));
  ERR(ELOOP, call->run("one/name"));
  ERR(ELOOP, call->run("self/name"));
}

static void no_search(const void *argument) {
  const struct path_call *call = argument;
  make_dir_of("closed", ALICE, ALICE, 0600);
  make_dir_of("open", ALICE, ALICE, 0755);
  make_dir("closed/name", 0777);
  OK(chmod(".", 0777));
  AS(ALICE, ALICE) {
    ERR(EACCES, call->run("closed/name"));
    ERR(EACCES, call->run("closed/absent/name"));
    ERR(EACCES, call->run("closed/."));
  }
  AS(BOB, BOB) { ERR(EACCES, call->run("closed/name")); }
}

static void bad_address(const void *argument) {
  const struct path_call *call = argument;
  ERR(EFAULT, call->run((const char *)1));
}

AT_START(add_all) {
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
    add_case_named(missing, &calls[i], "path/%s-of-missing", calls[i].name);
    add_case_named(through_a_file, &calls[i], "path/%s-through-a-file", calls[i].name);
    add_case_named(too_long, &calls[i], "path/%s-of-too-long", calls[i].name);
    add_case_named(loop, &calls[i], "path/%s-in-a-loop", calls[i].name);
    add_case_named(no_search, &calls[i], "path/%s-without-search-permission", calls[i].name);
    add_case_named(bad_address, &calls[i], "path/%s-of-bad-address", calls[i].name);
  }
}

/* What the last component being a link does: calls that follow it, and calls that must not. */
CASE("path/loop-in-last-component") {
  OK(symlink("self", "self"));
  struct stat found;
  ERR(ELOOP, open("self", O_RDONLY));
  ERR(ELOOP, stat("self", &found));
  ERR(ELOOP, truncate("self", 0));
  ERR(ELOOP, chmod("self", 0600));
  ERR(ELOOP, chdir("self"));
  OK(lstat("self", &found));
  OK(unlink("self"));
}

CASE("path/forty-links-are-followed-and-forty-one-are-not") {
  make_file("0", 0644);
  for (int i = 1; i <= 41; i++) OK(symlink(format_text("%d", i - 1), format_text("%d", i)));
  struct stat found;
  OK(stat("40", &found));
  ERR(ELOOP, stat("41", &found));
}

CASE("path/trailing-slash-on-a-file") {
  make_file("file", 0644);
  OK(symlink("file", "link"));
  struct stat found;
  ERR(ENOTDIR, stat("file/", &found));
  ERR(ENOTDIR, open("file/", O_RDONLY));
  ERR(ENOTDIR, unlink("file/"));
  ERR(ENOTDIR, lstat("link/", &found));
  ERR(ENOTDIR, rename("file/", "other"));
  ERR(EISDIR, open("absent/", O_CREAT | O_RDWR, 0644));
}

CASE("path/trailing-slash-on-a-directory") {
  make_dir("d", 0755);
  struct stat found;
  OK(stat("d/", &found));
  OK(mkdir("e/", 0755));
  OK(rename("e/", "f/"));
  OK(rmdir("f/"));
  OK(symlink("d", "link"));
  OK(lstat("link/", &found));
  TRUE(S_ISDIR(found.st_mode));
}

CASE("path/dot-and-dot-dot") {
  make_dir("d", 0755);
  make_dir("d/e", 0755);
  EQ(ino_of("d/."), ino_of("d"));
  EQ(ino_of("d/.."), ino_of("."));
  EQ(ino_of("d/e/../.."), ino_of("."));
  OK(rename("d/e", "e"));
  EQ(ino_of("e/.."), ino_of("."));
}

CASE("path/of-path-max-minus-one-bytes") {
  char path[PATH_MAX + 1] = "";
  size_t used = 0;
  while (used + 256 < PATH_MAX - 1) {
    memset(path + used, 'd', 255);
    path[used + 255] = 0;
    OK(mkdir(path, 0755));
    path[used + 255] = '/';
    used += 256;
  }
  memset(path + used, 'f', PATH_MAX - 1 - used);
  path[PATH_MAX - 1] = 0;
  EQ(strlen(path), PATH_MAX - 1);
  make_text(path, "deep");
  check_text(path, "deep");
  EQ(size_of(path), 4);
  OK(rename(path, "moved"));
  OK(rename("moved", path));
  OK(unlink(path));
  path[PATH_MAX - 1] = 'f';
  path[PATH_MAX] = 0;
  ERR(ENAMETOOLONG, open(path, O_CREAT | O_RDWR, 0644));
}

CASE("path/relative-to-a-directory-descriptor") {
  make_dir("d", 0755);
  int fd = open_or_fail("d", O_RDONLY | O_DIRECTORY);
  int file = OK(openat(fd, "file", O_CREAT | O_RDWR, 0644));
  OK(mkdirat(fd, "sub", 0755));
  OK(symlinkat("file", fd, "link"));
  OK(linkat(fd, "file", fd, "hard", 0));
  OK(renameat(fd, "hard", AT_FDCWD, "out"));
  OK(fchmodat(fd, "file", 0600, 0));
  OK(fchownat(fd, "file", ALICE, ALICE, AT_SYMLINK_NOFOLLOW));
  EQ(links_of("d/file"), 2);
  EQ(mode_of("out"), 0600);
  EQ(stat_of("out").st_uid, ALICE);
  OK(unlinkat(fd, "file", 0));
  OK(unlinkat(fd, "sub", AT_REMOVEDIR));
  OK(close(file));
  int regular = open_or_fail("out", O_RDONLY);
  ERR(ENOTDIR, openat(regular, "x", O_RDONLY));
  ERR(EBADF, openat(9999, "x", O_RDONLY));
}

CASE("path/relative-to-a-removed-directory") {
  make_dir("d", 0755);
  OK(chdir("d"));
  OK(rmdir("../d"));
  ERR(ENOENT, open("file", O_CREAT | O_RDWR, 0644));
  ERR(ENOENT, mkdir("sub", 0755));
  ERR(ENOENT, symlink("a", "b"));
  ERR(ENOENT, mkfifo("fifo", 0644));
  struct stat found;
  OK(stat(".", &found));
  EQ(found.st_nlink, 0);
}

CASE("path/symlink-target-is-relative-to-its-directory") {
  make_dir("d", 0755);
  make_text("d/file", "inside");
  OK(symlink("file", "d/link"));
  check_text("d/link", "inside");
  OK(symlink("../d/file", "d/up"));
  check_text("d/up", "inside");
  OK(symlink("d/link", "chain"));
  check_text("chain", "inside");
}
