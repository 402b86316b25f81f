/*
 * unlink, rmdir, files that live on after their last name went, and the sticky bit.
 */
#include "harness.h"

CASE("unlink/removes-the-name") {
  make_file("file", 0644);
  OK(unlink("file"));
  TRUE(!exists("file"));
  ERR(ENOENT, unlink("file"));
}

CASE("unlink/every-type-but-directory") {
  OK(symlink("absent", "link"));
  OK(mkfifo("fifo", 0644));
  make_socket("socket");
  OK(mknod("device", S_IFCHR | 0644, makedev(1, 3)));
  OK(unlink("link"));
  OK(unlink("fifo"));
  OK(unlink("socket"));
  OK(unlink("device"));
  make_dir("d", 0755);
  ERR(EISDIR, unlink("d"));
}

CASE("unlink/symlink-not-its-target") {
  make_text("file", "x");
  OK(symlink("file", "link"));
  OK(unlink("link"));
  check_text("file", "x");
}

CASE("unlink/needs-write-permission-on-the-directory-only") {
  make_dir_of("d", ALICE, ALICE, 0755);
  make_file_of("d/foreign", BOB, BOB, 0);
  make_dir_of("e", BOB, BOB, 0755);
  make_file_of("e/own", ALICE, ALICE, 0644);
  AS(ALICE, ALICE) {
    OK(unlink("d/foreign"));
    ERR(EACCES, unlink("e/own"));
    ERR(ENOENT, unlink("e/absent"));
  }
}

CASE("unlink/open-file-lives-on") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 200000, 1);
  OK(unlink("file"));
  struct stat found;
  OK(fstat(fd, &found));
  EQ(found.st_nlink, 0);
  EQ(found.st_size, 200000);
  check_pattern(fd, 0, 200000, 1);
  write_pattern(fd, 200000, 100000, 2);
  OK(ftruncate(fd, 250000));
  OK(fchmod(fd, 0600));
  OK(fchown(fd, ALICE, STAFF));
  OK(fsync(fd));
  OK(fsetxattr(fd, "user.a", "v", 1, 0));
  OK(fstat(fd, &found));
  EQ(found.st_mode & 07777, 0600);
  EQ(found.st_uid, ALICE);
  check_pattern(fd, 200000, 50000, 2);
}

CASE("unlink/open-file-survives-dropped-caches") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 2000000, 1);
  OK(unlink("file"));
  OK(fsync(fd));
  drop_caches();
  check_pattern(fd, 0, 2000000, 1);
}

CASE("unlink/new-file-of-the-same-name-is-another") {
  int old = open_or_fail("file", O_CREAT | O_RDWR);
  EQ(OK(write(old, "old", 3)), 3);
  OK(unlink("file"));
  make_text("file", "newer");
  check_range(old, 0, "old", 3);
  check_text("file", "newer");
  struct stat found;
  OK(fstat(old, &found));
  TRUE(found.st_ino != ino_of("file"));
}

CASE("unlink/open-file-can-be-opened-again-by-its-descriptor") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  EQ(OK(write(fd, "bytes", 5)), 5);
  OK(unlink("file"));
  int again = OK(open(format_text("/proc/self/fd/%d", fd), O_RDONLY));
  check_range(again, 0, "bytes", 5);
  OK(close(fd));
  check_range(again, 0, "bytes", 5);
}

CASE("unlink/unlinked-file-cannot-be-linked-again") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  OK(unlink("file"));
  ERR(ENOENT, linkat(AT_FDCWD, format_text("/proc/self/fd/%d", fd), AT_FDCWD, "back", AT_SYMLINK_FOLLOW));
}

CASE("unlink/mapped-file-lives-on") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 65536, 1);
  char *map = (char *)OK(mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  OK(unlink("file"));
  check_pattern(fd, 0, 65536, 1);
  map[100] = 'x';
  OK(close(fd));
  EQ(map[100], 'x');
  OK(msync(map, 65536, MS_SYNC));
}

CASE("unlink/atomic-for-racing-removers") {
  for (int i = 0; i < 50; i++) make_file(format_text("f%d", i), 0644);
  pid_t children[4];
  int *removed = (int *)OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  for (int c = 0; c < 4; c++)
    if ((children[c] = fork_child()) == 0) {
      for (int i = 0; i < 50; i++) {
        if (unlink(format_text("f%d", i)) == 0)
          __sync_fetch_and_add(removed, 1);
        else
          EQ(errno, ENOENT);
      }
      leave_child();
    }
  for (int c = 0; c < 4; c++) join_child(children[c]);
  EQ(*removed, 50);
}

CASE("unlink/unlinkat-flags") {
  make_dir("d", 0755);
  make_file("file", 0644);
  ERR(ENOTDIR, unlinkat(AT_FDCWD, "file", AT_REMOVEDIR));
  ERR(EINVAL, unlinkat(AT_FDCWD, "file", 0x4000));
  OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
}

CASE("rmdir/removes-an-empty-directory-and-lowers-the-link-count") {
  make_dir("d", 0755);
  make_dir("d/e", 0755);
  EQ(links_of("d"), 3);
  OK(rmdir("d/e"));
  EQ(links_of("d"), 2);
  TRUE(!exists("d/e"));
}

CASE("rmdir/not-empty") {
  make_dir("d", 0755);
  make_file("d/file", 0644);
  ERR2(ENOTEMPTY, EEXIST, rmdir("d"));
  OK(unlink("d/file"));
  OK(symlink("x", "d/link"));
  ERR2(ENOTEMPTY, EEXIST, rmdir("d"));
  OK(unlink("d/link"));
  OK(rmdir("d"));
}

CASE("rmdir/not-a-directory") {
  make_file("file", 0644);
  make_dir("d", 0755);
  OK(symlink("d", "link"));
  OK(mkfifo("fifo", 0644));
  ERR(ENOTDIR, rmdir("file"));
  ERR(ENOTDIR, rmdir("link"));
  ERR(ENOTDIR, rmdir("fifo"));
}

CASE("rmdir/dot-and-dot-dot") {
  make_dir("d", 0755);
  make_dir("d/e", 0755);
  ERR(EINVAL, rmdir("d/e/."));
  ERR2(ENOTEMPTY, EEXIST, rmdir("d/e/.."));
}

CASE("rmdir/open-directory-lives-on-empty") {
  make_dir("d", 0755);
  int fd = open_or_fail("d", O_RDONLY | O_DIRECTORY);
  OK(rmdir("d"));
  struct stat found;
  OK(fstat(fd, &found));
  EQ(found.st_nlink, 0);
  ERR(ENOENT, openat(fd, "file", O_CREAT | O_RDWR, 0644));
  DIR *dir = fdopendir(fd);
  TRUE(dir != NULL);
  errno = 0;
  while (readdir(dir)) continue;
  TRUE(errno == 0 || errno == ENOENT);
}

CASE("rmdir/needs-write-permission-on-the-parent") {
  make_dir_of("d", BOB, BOB, 0755);
  make_dir_of("d/own", ALICE, ALICE, 0755);
  AS(ALICE, ALICE) { ERR(EACCES, rmdir("d/own")); }
}

CASE("rmdir/mount-point-is-busy-or-root") { ERR2(EBUSY, ENOTEMPTY, rmdir("/proc")); }

/* In a sticky directory only the owner of the entry, the owner of the directory, or root may remove or rename. */
struct sticky {
  const char *name;
  uid_t directoryOwner, fileOwner;
  bool isAllowed;
};
static const struct sticky stickies[] = {
    {"own-file", BOB, ALICE, true},
    {"own-directory", ALICE, BOB, true},
    {"foreign-both", BOB, BOB, false},
    {"foreign-both-other", 0, BOB, false},
};

static void check_errno_or_ok(long result, bool isAllowed, const char *what) {
  if (isAllowed && result != 0) FAIL("%s: %s", what, strerror(errno));
  if (!isAllowed && (result != -1 || (errno != EPERM && errno != EACCES))) FAIL("%s: not refused with EPERM: %s", what, strerror(errno));
}

static void sticky_unlink(const void *argument) {
  const struct sticky *row = argument;
  make_dir_of("d", row->directoryOwner, 0, 01777);
  make_file_of("d/file", row->fileOwner, 0, 0666);
  AS(ALICE, ALICE) { check_errno_or_ok(unlink("d/file"), row->isAllowed, "unlink"); }
}
static void sticky_rmdir(const void *argument) {
  const struct sticky *row = argument;
  make_dir_of("d", row->directoryOwner, 0, 01777);
  make_dir_of("d/sub", row->fileOwner, 0, 0777);
  AS(ALICE, ALICE) { check_errno_or_ok(rmdir("d/sub"), row->isAllowed, "rmdir"); }
}
static void sticky_rename_out(const void *argument) {
  const struct sticky *row = argument;
  make_dir("free", 0777);
  make_dir_of("d", row->directoryOwner, 0, 01777);
  make_file_of("d/file", row->fileOwner, 0, 0666);
  AS(ALICE, ALICE) { check_errno_or_ok(rename("d/file", "free/file"), row->isAllowed, "rename"); }
}
static void sticky_rename_within(const void *argument) {
  const struct sticky *row = argument;
  make_dir_of("d", row->directoryOwner, 0, 01777);
  make_file_of("d/file", row->fileOwner, 0, 0666);
  AS(ALICE, ALICE) { check_errno_or_ok(rename("d/file", "d/new"), row->isAllowed, "rename"); }
}
static void sticky_rename_over(const void *argument) {
  const struct sticky *row = argument;
  make_dir("free", 0777);
  make_file_of("free/file", ALICE, ALICE, 0666);
  make_dir_of("d", row->directoryOwner, 0, 01777);
  make_file_of("d/file", row->fileOwner, 0, 0666);
  AS(ALICE, ALICE) { check_errno_or_ok(rename("free/file", "d/file"), row->isAllowed, "rename"); }
}
static void sticky_exchange(const void *argument) {
  const struct sticky *row = argument;
  make_dir("free", 0777);
  make_file_of("free/file", ALICE, ALICE, 0666);
  make_dir_of("d", row->directoryOwner, 0, 01777);
  make_file_of("d/file", row->fileOwner, 0, 0666);
  AS(ALICE, ALICE) { check_errno_or_ok(rename2("free/file", "d/file", RENAME_EXCHANGE), row->isAllowed, "exchange"); }
}

AT_START(add_sticky) {
  for (size_t i = 0; i < sizeof stickies / sizeof stickies[0]; i++) {
    const struct sticky *row = &stickies[i];
    add_case_named(sticky_unlink, row, "sticky/unlink-%s", row->name);
    add_case_named(sticky_rmdir, row, "sticky/rmdir-%s", row->name);
    add_case_named(sticky_rename_out, row, "sticky/rename-out-%s", row->name);
    add_case_named(sticky_rename_within, row, "sticky/rename-within-%s", row->name);
    add_case_named(sticky_rename_over, row, "sticky/rename-over-%s", row->name);
    add_case_named(sticky_exchange, row, "sticky/exchange-%s", row->name);
  }
}
