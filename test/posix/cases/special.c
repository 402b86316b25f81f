/*
 * stat, statx and statfs fields, unnamed temporary files, file handles, and inotify: what programs lean on besides reading and writing.
 */
#include "harness.h"
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <poll.h>

/* ── stat ── */

CASE("stat/fields-of-a-new-file") {
  make_text("file", "abc");
  struct stat found = stat_of("file"), here = stat_of(".");
  TRUE(found.st_ino > 0);
  EQ(found.st_dev, here.st_dev);
  EQ(found.st_nlink, 1);
  EQ(found.st_size, 3);
  EQ(found.st_rdev, 0);
  TRUE(found.st_blksize >= 512 && (found.st_blksize & (found.st_blksize - 1)) == 0);
}

CASE("stat/directory-links-and-size") {
  make_dir("d", 0755);
  EQ(links_of("d"), 2);
  TRUE(size_of("d") >= 0);
}

CASE("stat/inode-numbers-differ-and-stay") {
  make_file("a", 0644);
  make_file("b", 0644);
  ino_t ino = ino_of("a");
  TRUE(ino != ino_of("b"));
  OK(rename("a", "c"));
  EQ(ino_of("c"), ino);
  drop_caches();
  EQ(ino_of("c"), ino);
}

CASE("stat/by-path-and-by-descriptor-agree") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 12345, 1);
  struct stat one = stat_of("file"), two;
  OK(fstat(fd, &two));
  EQ(one.st_ino, two.st_ino);
  EQ(one.st_size, two.st_size);
  EQ(compare_times(one.st_mtim, two.st_mtim), 0);
  EQ(compare_times(one.st_ctim, two.st_ctim), 0);
}

CASE("stat/size-is-fresh-after-each-write") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  for (int i = 1; i <= 300; i++) {
    EQ(OK(write(fd, "0123456789", 10)), 10);
    EQ(size_of("file"), i * 10);
  }
}

CASE("stat/statx-agrees-and-may-give-a-birth-time") {
  make_text("file", "abc");
  struct statx found;
  OK(statx(AT_FDCWD, "file", 0, STATX_ALL, &found));
  EQ(found.stx_size, 3);
  EQ(found.stx_ino, ino_of("file"));
  EQ(found.stx_mode, stat_of("file").st_mode);
  if (found.stx_mask & STATX_BTIME) {
    struct timespec birth = {found.stx_btime.tv_sec, found.stx_btime.tv_nsec};
    TRUE(compare_times(birth, stat_of("file").st_ctim) <= 0);
    tick();
    OK(chmod("file", 0600));
    OK(statx(AT_FDCWD, "file", 0, STATX_ALL, &found));
    EQ(found.stx_btime.tv_nsec, birth.tv_nsec);
  }
  OK(statx(AT_FDCWD, "file", AT_STATX_FORCE_SYNC, STATX_SIZE, &found));
  OK(statx(AT_FDCWD, "file", AT_STATX_DONT_SYNC, STATX_SIZE, &found));
  ERR(EINVAL, statx(AT_FDCWD, "file", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_SIZE, &found));
}

CASE("stat/empty-path-is-the-descriptor") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  struct stat found;
  OK(fstatat(fd, "", &found, AT_EMPTY_PATH));
  EQ(found.st_ino, ino_of("file"));
}

CASE("statfs/fields") {
  struct statvfs found;
  OK(statvfs(".", &found));
  TRUE(found.f_bsize > 0 && found.f_frsize > 0);
  TRUE(found.f_blocks > 0);
  TRUE(found.f_bfree <= found.f_blocks);
  TRUE(found.f_bavail <= found.f_bfree);
  TRUE(found.f_ffree <= found.f_files);
  EQ(found.f_namemax, 255);
}

CASE("statfs/by-descriptor-and-of-any-file-agree") {
  make_dir("d", 0755);
  struct statfs one, two, three;
  OK(statfs(".", &one));
  OK(statfs("d", &two));
  OK(fstatfs(open_or_fail("d", O_RDONLY), &three));
  EQ(one.f_type, two.f_type);
  EQ(one.f_blocks, two.f_blocks);
  EQ(one.f_blocks, three.f_blocks);
  EQ(memcmp(&one.f_fsid, &two.f_fsid, sizeof one.f_fsid), 0);
}

/* ── O_TMPFILE ── */

static int open_tmpfile(int flags) {
  int fd = open(".", O_TMPFILE | flags, 0640);
  if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) FAIL("O_TMPFILE is not supported: %s", strerror(errno));
  return OK(fd);
}

CASE("tmpfile/has-no-name-and-no-link") {
  int fd = open_tmpfile(O_RDWR);
  struct stat found;
  OK(fstat(fd, &found));
  EQ(found.st_nlink, 0);
  EQ(found.st_mode & 07777, 0640);
  EQ(OK(write(fd, "abc", 3)), 3);
  check_range(fd, 0, "abc", 3);
  DIR *dir = opendir(".");
  int count = 0;
  while (readdir(dir)) count++;
  EQ(count, 2);
}

CASE("tmpfile/is-linked-through-proc") {
  int fd = open_tmpfile(O_RDWR);
  EQ(OK(write(fd, "abc", 3)), 3);
  OK(linkat(AT_FDCWD, format_text("/proc/self/fd/%d", fd), AT_FDCWD, "file", AT_SYMLINK_FOLLOW));
  check_text("file", "abc");
  EQ(links_of("file"), 1);
  EQ(OK(write(fd, "def", 3)), 3);
  check_text("file", "abcdef");
  OK(close(fd));
  drop_caches();
  check_text("file", "abcdef");
}

CASE("tmpfile/is-linked-by-an-empty-path") {
  int fd = open_tmpfile(O_WRONLY);
  EQ(OK(write(fd, "abc", 3)), 3);
  OK(linkat(fd, "", AT_FDCWD, "file", AT_EMPTY_PATH));
  OK(linkat(fd, "", AT_FDCWD, "second", AT_EMPTY_PATH));
  EQ(links_of("file"), 2);
  ERR(EEXIST, linkat(fd, "", AT_FDCWD, "file", AT_EMPTY_PATH));
}

CASE("tmpfile/excl-can-never-be-linked") {
  int fd = open_tmpfile(O_RDWR | O_EXCL);
  ERR(ENOENT, linkat(fd, "", AT_FDCWD, "file", AT_EMPTY_PATH));
}

CASE("tmpfile/belongs-to-the-caller-and-obeys-the-directory") {
  make_dir_of("d", ALICE, STAFF, 02755);
  AS(ALICE, ALICE) {
    umask(027);
    int fd = OK(open("d", O_TMPFILE | O_RDWR, 0666));
    struct stat found;
    OK(fstat(fd, &found));
    EQ(found.st_uid, ALICE);
    EQ(found.st_gid, STAFF);
    EQ(found.st_mode & 07777, 0640);
  }
  AS(BOB, BOB) { ERR(EACCES, open("d", O_TMPFILE | O_RDWR, 0600)); }
}

CASE("tmpfile/errors") {
  make_file("file", 0644);
  ERR(EINVAL, open(".", O_TMPFILE | O_RDONLY, 0600));
  ERR(ENOTDIR, open("file", O_TMPFILE | O_RDWR, 0600));
  ERR(ENOENT, open("absent", O_TMPFILE | O_RDWR, 0600));
}

CASE("tmpfile/large-one-survives-dropped-caches") {
  int fd = open_tmpfile(O_RDWR);
  write_pattern(fd, 0, 3000000, 1);
  OK(fsync(fd));
  drop_caches();
  check_pattern(fd, 0, 3000000, 1);
}

CASE("tmpfile/a-hundred-at-once") {
  for (int i = 0; i < 100; i++) {
    int fd = open_tmpfile(O_RDWR);
    EQ(OK(write(fd, &i, sizeof i)), (long)sizeof i);
    if (i % 2) OK(linkat(fd, "", AT_FDCWD, format_text("%d", i), AT_EMPTY_PATH));
  }
  for (int i = 1; i < 100; i += 2) check_bytes(format_text("%d", i), &i, sizeof i);
}

/* ── file handles, as an NFS server uses them ── */

struct handle {
  struct file_handle head;
  unsigned char bytes[MAX_HANDLE_SZ];
};

static int take_handle(const char *path, struct handle *handle) {
  handle->head.handle_bytes = MAX_HANDLE_SZ;
  int mountId;
  return name_to_handle_at(AT_FDCWD, path, &handle->head, &mountId, 0);
}

static int open_handle(struct handle *handle, int flags) {
  static int mount = -1;
  if (mount < 0) mount = open_or_fail(".", O_RDONLY | O_DIRECTORY);
  return open_by_handle_at(mount, &handle->head, flags);
}

CASE("handle/opens-the-file") {
  make_text("file", "abc");
  struct handle handle;
  OK(take_handle("file", &handle));
  check_range(OK(open_handle(&handle, O_RDONLY)), 0, "abc", 3);
}

CASE("handle/survives-rename-and-dropped-caches") {
  make_dir("d", 0755);
  make_text("file", "abc");
  struct handle handle;
  OK(take_handle("file", &handle));
  OK(rename("file", "d/moved"));
  sync();
  drop_caches();
  check_range(OK(open_handle(&handle, O_RDONLY)), 0, "abc", 3);
}

CASE("handle/of-a-directory") {
  make_dir("d", 0755);
  make_file("d/file", 0644);
  struct handle handle;
  OK(take_handle("d", &handle));
  drop_caches();
  int fd = OK(open_handle(&handle, O_RDONLY | O_DIRECTORY));
  OK(openat(fd, "file", O_RDONLY));
  struct stat found;
  OK(fstatat(fd, "..", &found, 0));
  EQ(found.st_ino, ino_of("."));
}

CASE("handle/of-a-removed-file-is-stale") {
  make_text("file", "abc");
  struct handle handle;
  OK(take_handle("file", &handle));
  OK(unlink("file"));
  sync();
  drop_caches();
  ERR(ESTALE, open_handle(&handle, O_RDONLY));
  make_text("file", "other");
  ERR(ESTALE, open_handle(&handle, O_RDONLY));
}

CASE("handle/too-small-buffer-tells-the-size") {
  make_file("file", 0644);
  struct handle handle;
  handle.head.handle_bytes = 0;
  int mountId;
  ERR(EOVERFLOW, name_to_handle_at(AT_FDCWD, "file", &handle.head, &mountId, 0));
  TRUE(handle.head.handle_bytes > 0);
}

CASE("handle/needs-the-right-capability") {
  make_text("file", "abc");
  struct handle handle;
  OK(take_handle("file", &handle));
  AS(ALICE, ALICE) { ERR(EPERM, open_handle(&handle, O_RDONLY)); }
}

/* ── inotify ── */

CASE("inotify/tells-of-local-changes") {
  int fd = OK(inotify_init1(IN_NONBLOCK));
  OK(inotify_add_watch(fd, ".", IN_CREATE | IN_DELETE | IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO));
  make_text("a", "x");
  OK(rename("a", "b"));
  OK(unlink("b"));
  char buffer[4096] __attribute__((aligned(8)));
  ssize_t size = OK(read(fd, buffer, sizeof buffer));
  unsigned seen = 0;
  for (ssize_t at = 0; at < size;) {
    struct inotify_event *event = (struct inotify_event *)(buffer + at);
    seen |= event->mask;
    at += sizeof *event + event->len;
  }
  EQ(seen & (IN_CREATE | IN_DELETE | IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO), IN_CREATE | IN_DELETE | IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO);
}

CASE("poll/regular-file-is-always-ready") {
  struct pollfd wait = {open_or_fail("file", O_CREAT | O_RDWR), POLLIN | POLLOUT, 0};
  EQ(OK(poll(&wait, 1, 0)), 1);
  EQ(wait.revents & (POLLIN | POLLOUT), POLLIN | POLLOUT);
}

CASE("ioctl/unknown-is-enotty") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  ERR2(ENOTTY, ENOSYS, syscall(SYS_ioctl, fd, 0x12345678, 0));
}
