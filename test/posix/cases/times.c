/*
 * utimensat, atime, and the exact rule of every operation: whose access, modification and change time moves, and whose does not.
 */
#include "harness.h"

static struct timespec at(time_t seconds, long nanoseconds) { return (struct timespec){seconds, nanoseconds}; }

static int set_times(const char *path, struct timespec access, struct timespec modification) {
  struct timespec times[2] = {access, modification};
  return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

static void check_time(struct timespec got, struct timespec wanted) {
  EQ(got.tv_sec, wanted.tv_sec);
  EQ(got.tv_nsec, wanted.tv_nsec);
}

CASE("utimensat/nanoseconds-are-kept") {
  make_file("file", 0644);
  OK(set_times("file", at(1000000000, 123456789), at(1700000001, 999999999)));
  check_time(stat_of("file").st_atim, at(1000000000, 123456789));
  check_time(stat_of("file").st_mtim, at(1700000001, 999999999));
}

CASE("utimensat/times-survive-dropped-caches") {
  make_file("file", 0644);
  OK(set_times("file", at(1000000000, 1), at(1700000001, 999999999)));
  drop_caches();
  check_time(stat_of("file").st_atim, at(1000000000, 1));
  check_time(stat_of("file").st_mtim, at(1700000001, 999999999));
}

CASE("utimensat/before-1970-and-after-2038") {
  make_file("file", 0644);
  OK(set_times("file", at(-1, 500000000), at(4294967296, 1)));
  check_time(stat_of("file").st_atim, at(-1, 500000000));
  check_time(stat_of("file").st_mtim, at(4294967296, 1));
}

CASE("utimensat/now") {
  make_file("file", 0644);
  OK(set_times("file", at(1, 0), at(1, 0)));
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  OK(set_times("file", at(0, UTIME_NOW), at(0, UTIME_NOW)));
  TRUE(labs(stat_of("file").st_atim.tv_sec - now.tv_sec) <= 2);
  TRUE(labs(stat_of("file").st_mtim.tv_sec - now.tv_sec) <= 2);
}

CASE("utimensat/null-is-now") {
  make_file("file", 0644);
  OK(set_times("file", at(1, 0), at(1, 0)));
  OK(utimensat(AT_FDCWD, "file", NULL, 0));
  TRUE(stat_of("file").st_mtim.tv_sec > 1000000);
  TRUE(stat_of("file").st_atim.tv_sec > 1000000);
}

CASE("utimensat/omit-keeps-one") {
  make_file("file", 0644);
  OK(set_times("file", at(1, 2), at(3, 4)));
  OK(set_times("file", at(0, UTIME_OMIT), at(5, 6)));
  check_time(stat_of("file").st_atim, at(1, 2));
  check_time(stat_of("file").st_mtim, at(5, 6));
  OK(set_times("file", at(7, 8), at(0, UTIME_OMIT)));
  check_time(stat_of("file").st_atim, at(7, 8));
  check_time(stat_of("file").st_mtim, at(5, 6));
}

CASE("utimensat/omit-both-changes-nothing") {
  make_file("file", 0644);
  struct stat before = stat_of("file");
  tick();
  OK(set_times("file", at(0, UTIME_OMIT), at(0, UTIME_OMIT)));
  check_time(stat_of("file").st_ctim, before.st_ctim);
}

CASE("utimensat/bad-nanoseconds") {
  make_file("file", 0644);
  ERR(EINVAL, set_times("file", at(1, 1000000000), at(1, 0)));
  ERR(EINVAL, set_times("file", at(1, 0), at(1, -5)));
}

CASE("utimensat/symlink-itself-and-its-target") {
  make_file("file", 0644);
  OK(symlink("file", "link"));
  OK(set_times("link", at(10, 11), at(12, 13)));
  check_time(stat_of("link").st_mtim, at(12, 13));
  TRUE(stat_of("file").st_mtim.tv_sec > 1000000);
  struct timespec times[2] = {at(20, 21), at(22, 23)};
  OK(utimensat(AT_FDCWD, "link", times, 0));
  check_time(stat_of("file").st_mtim, at(22, 23));
  check_time(stat_of("link").st_mtim, at(12, 13));
}

CASE("utimensat/by-descriptor-after-writing-stays") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  EQ(OK(write(fd, "abc", 3)), 3);
  struct timespec times[2] = {at(100, 1), at(200, 2)};
  OK(futimens(fd, times));
  OK(close(fd));
  check_time(stat_of("file").st_mtim, at(200, 2));
  drop_caches();
  check_time(stat_of("file").st_mtim, at(200, 2));
}

CASE("utimensat/write-permission-is-enough-for-now-not-for-other-times") {
  make_file_of("file", BOB, BOB, 0666);
  make_file_of("closed", BOB, BOB, 0644);
  AS(ALICE, ALICE) {
    OK(utimensat(AT_FDCWD, "file", NULL, 0));
    OK(set_times("file", at(0, UTIME_NOW), at(0, UTIME_NOW)));
    ERR(EPERM, set_times("file", at(1, 0), at(1, 0)));
    ERR(EPERM, set_times("file", at(0, UTIME_NOW), at(0, UTIME_OMIT)));
    ERR(EACCES, utimensat(AT_FDCWD, "closed", NULL, 0));
    ERR(EPERM, set_times("closed", at(1, 0), at(1, 0)));
  }
  AS(BOB, BOB) { OK(set_times("file", at(1, 0), at(1, 0))); }
}

CASE("utimensat/directory-and-fifo") {
  make_dir("d", 0755);
  OK(mkfifo("fifo", 0644));
  OK(set_times("d", at(1, 2), at(3, 4)));
  OK(set_times("fifo", at(1, 2), at(3, 4)));
  check_time(stat_of("d").st_mtim, at(3, 4));
  check_time(stat_of("fifo").st_mtim, at(3, 4));
}

/* ── relatime: reading moves atime when it is not after mtime or ctime, or is a day old ── */

static bool is_noatime(void) {
  struct statvfs found;
  OK(statvfs(".", &found));
  return found.f_flag & ST_NOATIME;
}

static void read_some(const char *path) {
  int fd = open_or_fail(path, O_RDONLY);
  char byte;
  OK(read(fd, &byte, 1));
  OK(close(fd));
}

CASE("atime/read-moves-it-past-mtime") {
  if (is_noatime()) skip("mounted with noatime");
  make_text("file", "abc");
  OK(set_times("file", at(1000, 0), at(2000, 0)));
  tick();
  read_some("file");
  TRUE(stat_of("file").st_atim.tv_sec > 2000);
}

CASE("atime/recent-one-stays-under-relatime") {
  struct statvfs found;
  OK(statvfs(".", &found));
  if (!(found.f_flag & ST_RELATIME)) skip("not mounted with relatime");
  make_text("file", "abc");
  tick();
  OK(set_times("file", at(0, UTIME_NOW), at(1000, 0)));
  struct timespec before = stat_of("file").st_atim;
  sleep_ms(30);
  OK(chmod("file", 0600));
  tick();
  OK(set_times("file", at(0, UTIME_NOW), at(0, UTIME_OMIT)));
  before = stat_of("file").st_atim;
  sleep_ms(30);
  /* atime equals ctime now: the first read may move it, the second may not. */
  read_some("file");
  before = stat_of("file").st_atim;
  sleep_ms(30);
  read_some("file");
  check_time(stat_of("file").st_atim, before);
}

CASE("atime/noatime-flag-keeps-it") {
  make_text("file", "abc");
  OK(set_times("file", at(1000, 0), at(2000, 0)));
  int fd = open_or_fail("file", O_RDONLY | O_NOATIME);
  char byte;
  OK(read(fd, &byte, 1));
  OK(close(fd));
  check_time(stat_of("file").st_atim, at(1000, 0));
}

CASE("atime/zero-bytes-read-keeps-it") {
  make_text("file", "abc");
  OK(set_times("file", at(1000, 0), at(2000, 0)));
  int fd = open_or_fail("file", O_RDONLY);
  char byte;
  EQ(OK(read(fd, &byte, 0)), 0);
  OK(close(fd));
  check_time(stat_of("file").st_atim, at(1000, 0));
}

CASE("atime/of-a-read-directory-and-symlink") {
  if (is_noatime()) skip("mounted with noatime");
  make_dir("d", 0755);
  make_file("d/f", 0644);
  OK(symlink("d", "link"));
  OK(set_times("d", at(1000, 0), at(2000, 0)));
  OK(set_times("link", at(1000, 0), at(2000, 0)));
  DIR *dir = opendir("d");
  while (readdir(dir)) continue;
  OK(closedir(dir));
  char text[8];
  OK(readlink("link", text, sizeof text));
  TRUE(stat_of("d").st_atim.tv_sec > 2000);
  TRUE(stat_of("link").st_atim.tv_sec > 2000);
}

CASE("atime/write-does-not-move-it") {
  make_text("file", "abc");
  OK(set_times("file", at(1000, 5), at(2000, 0)));
  int fd = open_or_fail("file", O_WRONLY);
  EQ(OK(write(fd, "x", 1)), 1);
  OK(close(fd));
  check_time(stat_of("file").st_atim, at(1000, 5));
}

CASE("time/of-a-new-file-is-now-and-moves-its-directory") {
  make_dir("d", 0755);
  OK(set_times("d", at(1, 0), at(1, 0)));
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  make_file("d/file", 0644);
  struct stat file = stat_of("d/file");
  TRUE(labs(file.st_mtim.tv_sec - now.tv_sec) <= 2);
  TRUE(labs(file.st_atim.tv_sec - now.tv_sec) <= 2);
  TRUE(labs(stat_of("d").st_mtim.tv_sec - now.tv_sec) <= 2);
}

CASE("time/never-goes-back") {
  make_file("file", 0644);
  struct timespec last = stat_of("file").st_ctim;
  for (int i = 0; i < 200; i++) {
    OK(chmod("file", i % 2 ? 0600 : 0644));
    struct timespec now = stat_of("file").st_ctim;
    TRUE(compare_times(now, last) >= 0);
    last = now;
  }
}

CASE("time/file-and-directory-agree-on-one-clock") {
  make_dir("d", 0755);
  tick();
  struct timespec before, after;
  clock_gettime(CLOCK_REALTIME, &before);
  sleep_ms(15);
  make_text("d/file", "abc");
  sleep_ms(15);
  clock_gettime(CLOCK_REALTIME, &after);
  TRUE(compare_times(stat_of("d/file").st_mtim, before) > 0);
  TRUE(compare_times(stat_of("d/file").st_mtim, after) < 0);
  TRUE(compare_times(stat_of("d").st_mtim, before) > 0);
  TRUE(compare_times(stat_of("d").st_mtim, after) < 0);
}

/* ── the table of changes ── */

/* M: modification time moves, C: change time moves; a letter that is absent must stay. The scene is in set_table_scene. */
struct change {
  const char *name;
  void (*run)(void);
  const char *object; /* what `onObject` speaks of */
  const char *onObject;
  const char *onParent; /* of d/ */
};

static int table_fd(int flags) { return open_or_fail("d/file", flags); }
static void run_chmod(void) { OK(chmod("d/file", 0600)); }
static void run_chmod_same(void) { OK(chmod("d/file", 0644)); }
static void run_chown(void) { OK(chown("d/file", ALICE, ALICE)); }
static void run_chown_same(void) { OK(chown("d/file", 0, 0)); }
static void run_link(void) { OK(link("d/file", "e/new")); }
static void run_link_here(void) { OK(link("d/file", "d/new")); }
static void run_unlink(void) { OK(unlink("d/second")); }
static void run_rename(void) { OK(rename("d/file", "d/new")); }
static void run_rename_away(void) { OK(rename("d/file", "e/new")); }
static void run_rename_over(void) { OK(rename("d/file", "d/target")); }
static void run_rename_dir(void) { OK(rename("d/sub", "e/sub")); }
static void run_exchange(void) { OK(rename2("d/file", "d/target", RENAME_EXCHANGE)); }
static void run_rename_fails(void) { ERR(EEXIST, rename2("d/file", "d/target", RENAME_NOREPLACE)); }
static void run_write(void) { EQ(OK(write(table_fd(O_WRONLY), "x", 1)), 1); }
static void run_write_nothing(void) { EQ(OK(write(table_fd(O_WRONLY), "x", 0)), 0); }
static void run_truncate_shorter(void) { OK(truncate("d/file", 1)); }
static void run_truncate_longer(void) { OK(truncate("d/file", 100000)); }
static void run_truncate_same(void) { OK(truncate("d/file", 4)); }
static void run_ftruncate_same(void) { OK(ftruncate(table_fd(O_WRONLY), 4)); }
static void run_open_trunc(void) { OK(close(table_fd(O_WRONLY | O_TRUNC))); }
static void run_open_creat(void) { OK(close(table_fd(O_WRONLY | O_CREAT))); }
static void run_punch(void) { OK(fallocate(table_fd(O_RDWR), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2)); }
static void run_zero(void) { OK(fallocate(table_fd(O_RDWR), FALLOC_FL_ZERO_RANGE, 0, 2)); }
static void run_fallocate(void) { OK(fallocate(table_fd(O_RDWR), 0, 0, 50000)); }
static void run_setxattr(void) { OK(setxattr("d/file", "user.b", "v", 1, 0)); }
static void run_removexattr(void) { OK(removexattr("d/file", "user.a")); }
static void run_getxattr(void) {
  char value[8];
  OK(getxattr("d/file", "user.a", value, sizeof value));
}
static void run_utimes(void) {
  struct timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  OK(utimensat(AT_FDCWD, "d/file", times, 0));
}
static void run_utimes_atime(void) {
  struct timespec times[2] = {{5, 5}, {0, UTIME_OMIT}};
  OK(utimensat(AT_FDCWD, "d/file", times, 0));
}
static void run_create(void) { make_file("d/new", 0644); }
static void run_mkdir(void) { OK(mkdir("d/new", 0755)); }
static void run_rmdir(void) { OK(rmdir("d/sub")); }
static void run_symlink(void) { OK(symlink("x", "d/new")); }
static void run_mkfifo(void) { OK(mkfifo("d/new", 0644)); }
static void run_create_in_sub(void) { make_file("d/sub/new", 0644); }
static void run_mmap(void) {
  char *map = (char *)OK(mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, table_fd(O_RDWR), 0));
  map[0] = 'x';
  OK(msync(map, 4096, MS_SYNC));
}
static void run_copy_range(void) {
  loff_t from = 0, to = 1;
  EQ(OK(copy_file_range(table_fd(O_RDONLY), &from, open_or_fail("d/target", O_WRONLY), &to, 2, 0)), 2);
}
static void run_lock(void) { OK(flock(table_fd(O_RDONLY), LOCK_EX)); }
static void run_fsync(void) { OK(fsync(table_fd(O_RDONLY))); }
static void run_failed_unlink(void) { ERR(ENOENT, unlink("d/absent")); }
static void run_failed_mkdir(void) { ERR(EEXIST, mkdir("d/file", 0755)); }

static const struct change changes[] = {
    {"chmod", run_chmod, "d/file", "C", ""},
    {"chmod-to-the-same-mode", run_chmod_same, "d/file", "C", ""},
    {"chown", run_chown, "d/file", "C", ""},
    {"chown-to-the-same-owner", run_chown_same, "d/file", "C", ""},
    {"link-elsewhere", run_link, "d/file", "C", ""},
    {"link-here", run_link_here, "d/file", "C", "MC"},
    {"unlink-of-another-name", run_unlink, "d/file2", "C", "MC"},
    {"rename-within", run_rename, "d/new", "C", "MC"},
    {"rename-away", run_rename_away, "e/new", "C", "MC"},
    {"rename-away-target-parent", run_rename_away, "e", "MC", "MC"},
    {"rename-over-another-name", run_rename_over, "target2", "C", "MC"},
    {"rename-of-a-directory", run_rename_dir, "e/sub", "C", "MC"},
    {"rename-exchange", run_exchange, "d/target", "C", "MC"},
    {"rename-exchange-second", run_exchange, "d/file", "C", "MC"},
    {"rename-that-fails", run_rename_fails, "d/file", "", ""},
    {"write", run_write, "d/file", "MC", ""},
    {"write-of-nothing", run_write_nothing, "d/file", "", ""},
    {"truncate-shorter", run_truncate_shorter, "d/file", "MC", ""},
    {"truncate-longer", run_truncate_longer, "d/file", "MC", ""},
    {"truncate-to-the-same-size", run_truncate_same, "d/file", "MC", ""},
    {"ftruncate-to-the-same-size", run_ftruncate_same, "d/file", "MC", ""},
    {"open-with-trunc", run_open_trunc, "d/file", "MC", ""},
    {"open-with-creat-of-existing", run_open_creat, "d/file", "", ""},
    {"punch-hole", run_punch, "d/file", "MC", ""},
    {"zero-range", run_zero, "d/file", "MC", ""},
    {"fallocate-longer", run_fallocate, "d/file", "MC", ""},
    {"setxattr", run_setxattr, "d/file", "C", ""},
    {"removexattr", run_removexattr, "d/file", "C", ""},
    {"getxattr", run_getxattr, "d/file", "", ""},
    {"utimensat-mtime", run_utimes, "d/file", "MC", ""},
    {"utimensat-atime", run_utimes_atime, "d/file", "C", ""},
    {"create", run_create, "d/file", "", "MC"},
    {"mkdir", run_mkdir, "d/file", "", "MC"},
    {"rmdir", run_rmdir, "d/file", "", "MC"},
    {"symlink", run_symlink, "d/file", "", "MC"},
    {"mkfifo", run_mkfifo, "d/file", "", "MC"},
    {"create-one-level-below", run_create_in_sub, "d/sub", "MC", ""},
    {"mmap-write", run_mmap, "d/file", "MC", ""},
    {"copy-file-range-target", run_copy_range, "d/target", "MC", ""},
    {"copy-file-range-source", run_copy_range, "d/file", "", ""},
    {"flock", run_lock, "d/file", "", ""},
    {"fsync", run_fsync, "d/file", "", ""},
    {"unlink-that-fails", run_failed_unlink, "d/file", "", ""},
    {"mkdir-that-fails", run_failed_mkdir, "d/file", "", ""},
};

static void set_table_scene(void) {
  make_dir("d", 0755);
  make_dir("e", 0755);
  make_dir("d/sub", 0755);
  make_text("d/file", "abcd");
  make_text("d/target", "efgh");
  make_text("d/second", "ijkl");
  OK(link("d/target", "target2"));
  OK(link("d/second", "d/file2"));
  OK(setxattr("d/file", "user.a", "v", 1, 0));
}

static void check_move(const char *what, const char *path, const char *rule, struct stat before) {
  struct stat now = stat_of(path);
  bool isModified = compare_times(now.st_mtim, before.st_mtim) != 0, isChanged = compare_times(now.st_ctim, before.st_ctim) != 0;
  if (isModified != (strchr(rule, 'M') != NULL)) FAIL("mtime of the %s %s %s", what, path, isModified ? "moved" : "did not move");
  if (isChanged != (strchr(rule, 'C') != NULL)) FAIL("ctime of the %s %s %s", what, path, isChanged ? "moved" : "did not move");
  if (compare_times(now.st_mtim, before.st_mtim) < 0 || compare_times(now.st_ctim, before.st_ctim) < 0) FAIL("a time of %s went back", path);
}

/* The object may have had another name before: looked up by its inode. */
static struct stat stat_before(const struct change *row) {
  if (!strcmp(row->object, "d/new") || !strcmp(row->object, "e/new")) return stat_of("d/file");
  if (!strcmp(row->object, "e/sub")) return stat_of("d/sub");
  if (!strcmp(row->name, "rename-exchange")) return stat_of("d/file");
  if (!strcmp(row->name, "rename-exchange-second")) return stat_of("d/target");
  return stat_of(row->object);
}

static void check_change(const void *argument) {
  const struct change *row = argument;
  set_table_scene();
  struct stat object = stat_before(row), parent = stat_of("d");
  tick();
  row->run();
  check_move("object", row->object, row->onObject, object);
  check_move("directory", "d", row->onParent, parent);
}

/* What reached the servers must agree with what the caches said. */
static void check_change_cold(const void *argument) {
  const struct change *row = argument;
  set_table_scene();
  struct stat object = stat_before(row), parent = stat_of("d");
  tick();
  row->run();
  sync();
  drop_caches();
  check_move("object", row->object, row->onObject, object);
  check_move("directory", "d", row->onParent, parent);
}

AT_START(add_changes) {
  for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
    add_case_named(check_change, &changes[i], "times/after-%s", changes[i].name);
    if (i % 6 == 0) add_case_named(check_change_cold, &changes[i], "times/after-%s-cold", changes[i].name);
  }
}
