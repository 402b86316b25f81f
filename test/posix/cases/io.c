/*
 * Reading and writing: append, vectors, direct and synchronous access, several descriptors and processes, copy_file_range, sendfile.
 */
#include "harness.h"
#include <sys/ioctl.h>
#include <sys/sendfile.h>

enum { MIB = 1024 * 1024 };

CASE("write/append-goes-to-the-end-wherever-the-offset-is") {
  make_text("file", "abc");
  int fd = open_or_fail("file", O_RDWR | O_APPEND);
  EQ(OK(lseek(fd, 0, SEEK_SET)), 0);
  EQ(OK(write(fd, "def", 3)), 3);
  EQ(OK(lseek(fd, 0, SEEK_CUR)), 6);
  check_text("file", "abcdef");
}

CASE("write/append-after-another-descriptor-made-it-longer-or-shorter") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR | O_APPEND), other = open_or_fail("file", O_RDWR);
  EQ(OK(write(fd, "abc", 3)), 3);
  EQ(OK(pwrite(other, "XYZ", 3, 3)), 3);
  EQ(OK(write(fd, "d", 1)), 1);
  check_text("file", "abcXYZd");
  OK(ftruncate(other, 2));
  EQ(OK(write(fd, "e", 1)), 1);
  check_text("file", "abe");
}

static void append_from_processes(int processes, int lines, int lineSize) {
  make_file("file", 0644);
  pid_t children[8];
  for (int c = 0; c < processes; c++)
    if ((children[c] = fork_child()) == 0) {
      int fd = open_or_fail("file", O_WRONLY | O_APPEND);
      char *line = long_name(lineSize, 'a' + c);
      line[lineSize - 1] = '\n';
      for (int i = 0; i < lines; i++) EQ(OK(write(fd, line, lineSize)), lineSize);
      leave_child();
    }
  for (int c = 0; c < processes; c++) join_child(children[c]);
  EQ(size_of("file"), (long)processes * lines * lineSize);
  int counts[8] = {0}, fd = open_or_fail("file", O_RDONLY);
  char *line = malloc(lineSize);
  for (int i = 0; i < processes * lines; i++) {
    EQ(OK(pread(fd, line, lineSize, (off_t)i * lineSize)), lineSize);
    for (int b = 1; b < lineSize - 1; b++) EQ(line[b], line[0]);
    EQ(line[lineSize - 1], '\n');
    counts[line[0] - 'a']++;
  }
  for (int c = 0; c < processes; c++) EQ(counts[c], lines);
}
CASE("write/append-from-two-processes-loses-nothing") { append_from_processes(2, 500, 101); }
CASE("write/append-from-eight-processes-loses-nothing") { append_from_processes(8, 50, 5003); }

CASE("write/pwrite-on-an-append-descriptor-appends") {
  make_text("file", "abc"); /* a Linux rule, against POSIX; see pwrite(2), BUGS */
  int fd = open_or_fail("file", O_RDWR | O_APPEND);
  EQ(OK(pwrite(fd, "d", 1, 0)), 1);
  check_text("file", "abcd");
}

CASE("write/append-flag-set-later") {
  make_text("file", "abc");
  int fd = open_or_fail("file", O_RDWR);
  OK(fcntl(fd, F_SETFL, O_APPEND));
  EQ(OK(write(fd, "d", 1)), 1);
  check_text("file", "abcd");
}

CASE("write/many-small-ones-in-a-row") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  static char bytes[100000];
  fill_pattern(bytes, sizeof bytes, 0, 1);
  for (size_t i = 0; i < sizeof bytes;) {
    size_t part = 1 + i % 97 < sizeof bytes - i ? 1 + i % 97 : sizeof bytes - i;
    EQ(OK(write(fd, bytes + i, part)), (long)part);
    i += part;
  }
  check_bytes("file", bytes, sizeof bytes);
}

CASE("write/backwards") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  for (int i = 199; i >= 0; i--) write_pattern(fd, i * 1500L, 1500, 1);
  check_pattern(fd, 0, 300000, 1);
  OK(fsync(fd));
  drop_caches();
  check_pattern(fd, 0, 300000, 1);
}

CASE("write/vectors") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  struct iovec out[3] = {{"abc", 3}, {"", 0}, {"defgh", 5}};
  EQ(OK(writev(fd, out, 3)), 8);
  char one[2], two[6];
  struct iovec in[2] = {{one, 2}, {two, 6}};
  EQ(OK(preadv(fd, in, 2, 0)), 8);
  TRUE(!memcmp(one, "ab", 2) && !memcmp(two, "cdefgh", 6));
  EQ(OK(pwritev(fd, out, 3, 100)), 8);
  EQ(size_of("file"), 108);
  ERR(EINVAL, syscall(SYS_readv, fd, in, -1L));
}

CASE("write/errors") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  ERR(EFAULT, write(fd, bad_pointer(), 10));
  EQ(OK(write(fd, "abc", 3)), 3);
  ERR(EFAULT, pread(fd, bad_pointer(), 3, 0));
  ERR(EBADF, write(9999, "x", 1));
  EQ(OK(write(fd, "x", 0)), 0);
}

CASE("write/seen-by-every-descriptor-at-once") {
  int writer = open_or_fail("file", O_CREAT | O_RDWR), reader = open_or_fail("file", O_RDONLY);
  for (int i = 1; i <= 50; i++) {
    write_pattern(writer, i * 997L, 3000, i);
    check_pattern(reader, i * 997L, 3000, i);
    struct stat found;
    OK(fstat(reader, &found));
    EQ(found.st_size, i * 997L + 3000);
  }
}

CASE("write/seen-by-another-process-at-once") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  for (int i = 1; i <= 20; i++) {
    write_pattern(fd, 0, 10000, i);
    CHILD { check_pattern(open_or_fail("file", O_RDONLY), 0, 10000, i); }
  }
}

CASE("write/two-processes-in-alternate-pages") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  pid_t child = fork_child();
  for (int i = child == 0; i < 200; i += 2) write_pattern(fd, i * 1000L, 1000, 1);
  if (child == 0) leave_child();
  join_child(child);
  check_pattern(fd, 0, 200000, 1);
}

CASE("write/read-at-and-over-the-end") {
  make_text("file", "abcdef");
  int fd = open_or_fail("file", O_RDONLY);
  char text[16];
  EQ(OK(pread(fd, text, 16, 4)), 2);
  EQ(OK(pread(fd, text, 16, 6)), 0);
  EQ(OK(pread(fd, text, 16, 1 << 20)), 0);
  ERR(EINVAL, pread(fd, text, 1, -1));
}

/* ── synchronous and direct ── */

static void write_with_flag(const void *argument) {
  int fd = open_or_fail("file", O_CREAT | O_RDWR | *(const int *)argument);
  write_pattern(fd, 0, 100000, 1);
  write_pattern(fd, 50000, 100, 2);
  check_pattern(fd, 0, 50000, 1);
  check_pattern(fd, 50000, 100, 2);
  EQ(size_of("file"), 100000);
}
static const int syncFlags[] = {O_SYNC, O_DSYNC};
AT_START(add_sync) {
  add_case("sync/o-sync", write_with_flag, &syncFlags[0]);
  add_case("sync/o-dsync", write_with_flag, &syncFlags[1]);
}

CASE("sync/every-call") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 100000, 1);
  OK(fdatasync(fd));
  OK(sync_file_range(fd, 0, 100000, SYNC_FILE_RANGE_WRITE));
  write_pattern(fd, 0, 10, 2);
  OK(fsync(fd));
  OK(syncfs(fd));
  int dir = open_or_fail(".", O_RDONLY | O_DIRECTORY);
  OK(fsync(dir));
  OK(fdatasync(dir));
  OK(fsync(open_or_fail("file", O_RDONLY)));
  int ends[2];
  OK(pipe(ends));
  ERR2(EINVAL, EROFS, fsync(ends[0]));
  ERR(EBADF, fsync(9999));
}

static char *aligned(size_t size) {
  void *buffer;
  if (posix_memalign(&buffer, 4096, size)) FAIL("out of memory");
  return buffer;
}

CASE("direct/aligned-write-and-read") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR | O_DIRECT);
  char *out = aligned(MIB), *in = aligned(MIB);
  fill_pattern(out, MIB, 0, 1);
  EQ(OK(pwrite(fd, out, MIB, 0)), MIB);
  EQ(OK(pread(fd, in, MIB, 0)), MIB);
  TRUE(!memcmp(in, out, MIB));
  EQ(size_of("file"), MIB);
  EQ(OK(pread(fd, in, 8192, MIB - 4096)), 4096);
  EQ(OK(pread(fd, in, 4096, MIB)), 0);
}

CASE("direct/sees-buffered-writes-and-is-seen-by-them") {
  int direct = open_or_fail("file", O_CREAT | O_RDWR | O_DIRECT), buffered = open_or_fail("file", O_RDWR);
  char *block = aligned(8192);
  write_pattern(buffered, 0, 65536, 1);
  EQ(OK(pread(direct, block, 8192, 4096)), 8192);
  char wanted[8192];
  fill_pattern(wanted, 8192, 4096, 1);
  TRUE(!memcmp(block, wanted, 8192));
  fill_pattern(block, 8192, 8192, 2);
  EQ(OK(pwrite(direct, block, 8192, 8192)), 8192);
  check_pattern(buffered, 8192, 8192, 2);
  check_pattern(buffered, 0, 8192, 1);
  check_pattern(buffered, 16384, 49152, 1);
}

CASE("direct/makes-the-file-longer") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR | O_DIRECT);
  char *block = aligned(4096);
  for (int i = 0; i < 40; i++) {
    fill_pattern(block, 4096, i * 4096L, 1);
    EQ(OK(pwrite(fd, block, 4096, i * 4096L)), 4096);
    EQ(size_of("file"), (i + 1) * 4096L);
  }
  check_pattern(open_or_fail("file", O_RDONLY), 0, 40 * 4096L, 1);
}

CASE("direct/append") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR | O_DIRECT | O_APPEND);
  char *block = aligned(4096);
  for (int i = 0; i < 3; i++) {
    fill_pattern(block, 4096, i * 4096L, 1);
    EQ(OK(write(fd, block, 4096)), 4096);
  }
  check_pattern(open_or_fail("file", O_RDONLY), 0, 3 * 4096L, 1);
}

/* Unaligned direct access is refused with EINVAL or done right. */
static void unaligned(size_t shift, size_t size, off_t offset) {
  int fd = open_or_fail("file", O_CREAT | O_RDWR), direct = open_or_fail("file", O_RDWR | O_DIRECT);
  write_pattern(fd, 0, 65536, 1);
  char *block = aligned(65536), wanted[8192];
  ssize_t got = pread(direct, block + shift, size, offset);
  if (got < 0)
    EQ(errno, EINVAL);
  else {
    EQ(got, (long)size);
    fill_pattern(wanted, size, offset, 1);
    TRUE(!memcmp(block + shift, wanted, size));
  }
  fill_pattern(block + shift, size, offset, 2);
  ssize_t put = pwrite(direct, block + shift, size, offset);
  if (put < 0)
    EQ(errno, EINVAL);
  else
    EQ(put, (long)size);
  check_pattern(fd, 0, offset, 1);
  check_pattern(fd, offset, size, put < 0 ? 1 : 2);
  check_pattern(fd, offset + size, 65536 - offset - size, 1);
}
CASE("direct/unaligned-buffer-is-right-or-refused") { unaligned(1, 4096, 4096); }
CASE("direct/unaligned-size-is-right-or-refused") { unaligned(0, 1000, 4096); }
CASE("direct/unaligned-offset-is-right-or-refused") { unaligned(0, 4096, 777); }
CASE("direct/everything-unaligned-is-right-or-refused") { unaligned(13, 5001, 12345); }

CASE("direct/of-a-hole-and-of-a-tail") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR), direct = open_or_fail("file", O_RDONLY | O_DIRECT);
  OK(ftruncate(fd, 100000));
  write_pattern(fd, 100000, 123, 1);
  char *block = aligned(65536);
  memset(block, 7, 65536);
  EQ(OK(pread(direct, block, 65536, 0)), 65536);
  for (int i = 0; i < 65536; i++) EQ(block[i], 0);
  EQ(OK(pread(direct, block, 65536, 98304)), 100123 - 98304);
  char wanted[123];
  fill_pattern(wanted, 123, 100000, 1);
  TRUE(!memcmp(block + 100000 - 98304, wanted, 123));
}

/* ── copies inside the kernel ── */

static void copy_range(int from, off_t fromOffset, int to, off_t toOffset, size_t size) {
  loff_t source = fromOffset, target = toOffset;
  while (size > 0) {
    ssize_t done = OK(copy_file_range(from, &source, to, &target, size, 0));
    TRUE(done > 0);
    size -= done;
  }
  EQ(OK(lseek(from, 0, SEEK_CUR)), 0);
}

CASE("copy/whole-file") {
  int from = open_or_fail("from", O_CREAT | O_RDWR), to = open_or_fail("to", O_CREAT | O_RDWR);
  write_pattern(from, 0, 3 * MIB + 17, 1);
  copy_range(from, 0, to, 0, 3 * MIB + 17);
  EQ(size_of("to"), 3 * MIB + 17);
  check_pattern(to, 0, 3 * MIB + 17, 1);
}

CASE("copy/later-writes-to-either-do-not-show-in-the-other") {
  int from = open_or_fail("from", O_CREAT | O_RDWR), to = open_or_fail("to", O_CREAT | O_RDWR);
  write_pattern(from, 0, 2 * MIB, 1);
  OK(fsync(from));
  copy_range(from, 0, to, 0, 2 * MIB);
  write_pattern(from, 1000, 5000, 2);
  write_pattern(to, 900000, 5000, 3);
  check_pattern(to, 0, 900000, 1);
  check_pattern(to, 900000, 5000, 3);
  check_pattern(from, 900000, 5000, 1);
  OK(ftruncate(from, 0));
  OK(fsync(from));
  OK(unlink("from"));
  drop_caches();
  check_pattern(to, 0, 900000, 1);
  check_pattern(to, 905000, 2 * MIB - 905000, 1);
}

CASE("copy/ranges-at-odd-offsets") {
  int from = open_or_fail("from", O_CREAT | O_RDWR), to = open_or_fail("to", O_CREAT | O_RDWR);
  write_pattern(from, 0, 2 * MIB, 1);
  write_pattern(to, 0, 2 * MIB, 2);
  copy_range(from, 12345, to, 54321, 700001);
  static char wanted[700001];
  fill_pattern(wanted, sizeof wanted, 12345, 1);
  check_range(to, 54321, wanted, sizeof wanted);
  check_pattern(to, 0, 54321, 2);
  check_pattern(to, 54321 + 700001, 1000, 2);
  EQ(size_of("to"), 2 * MIB);
}

CASE("copy/within-one-file") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 100000, 1);
  copy_range(fd, 0, fd, 200000, 100000);
  static char wanted[100000];
  fill_pattern(wanted, sizeof wanted, 0, 1);
  check_range(fd, 200000, wanted, sizeof wanted);
  check_zeros(fd, 100000, 100000);
  loff_t source = 0, target = 50000;
  ERR(EINVAL, copy_file_range(fd, &source, fd, &target, 100000, 0)); /* overlapping */
}

CASE("copy/stops-at-the-end-of-the-source") {
  int from = open_or_fail("from", O_CREAT | O_RDWR), to = open_or_fail("to", O_CREAT | O_RDWR);
  write_pattern(from, 0, 1000, 1);
  loff_t source = 400, target = 0;
  EQ(OK(copy_file_range(from, &source, to, &target, 100000, 0)), 600);
  EQ(source, 1000);
  EQ(target, 600);
  EQ(size_of("to"), 600);
  EQ(OK(copy_file_range(from, &source, to, &target, 10, 0)), 0);
  source = 5000;
  EQ(OK(copy_file_range(from, &source, to, &target, 10, 0)), 0);
}

CASE("copy/beyond-the-end-of-the-target-leaves-a-gap") {
  int from = open_or_fail("from", O_CREAT | O_RDWR), to = open_or_fail("to", O_CREAT | O_RDWR);
  write_pattern(from, 0, 5000, 1);
  copy_range(from, 0, to, 1000000, 5000);
  EQ(size_of("to"), 1005000);
  check_zeros(to, 0, 1000000);
}

CASE("copy/holes-read-as-zeros") {
  int from = open_or_fail("from", O_CREAT | O_RDWR), to = open_or_fail("to", O_CREAT | O_RDWR);
  OK(ftruncate(from, 3 * MIB));
  write_pattern(from, MIB, 1000, 1);
  write_pattern(to, 0, 3 * MIB, 2);
  copy_range(from, 0, to, 0, 3 * MIB);
  check_zeros(to, 0, MIB);
  check_pattern(to, MIB, 1000, 1);
  check_zeros(to, MIB + 1000, 2 * MIB - 1000);
}

CASE("copy/of-small-files") {
  int from = open_or_fail("from", O_CREAT | O_RDWR), to = open_or_fail("to", O_CREAT | O_RDWR);
  EQ(OK(write(from, "0123456789", 10)), 10);
  OK(lseek(from, 0, SEEK_SET));
  copy_range(from, 2, to, 3, 5);
  check_bytes("to", "\0\0\0" "23456", 8);
}

CASE("copy/errors") {
  int from = open_or_fail("from", O_CREAT | O_RDWR), to = open_or_fail("to", O_CREAT | O_RDWR);
  write_pattern(from, 0, 1000, 1);
  ERR(EBADF, copy_file_range(open_or_fail("from", O_RDONLY), NULL, open_or_fail("to", O_RDONLY), NULL, 10, 0));
  ERR(EBADF, copy_file_range(from, NULL, open_or_fail("to", O_WRONLY | O_APPEND), NULL, 10, 0));
  ERR(EINVAL, copy_file_range(from, NULL, to, NULL, 10, 1));
  make_dir("d", 0755);
  ERR(EISDIR, copy_file_range(open_or_fail("d", O_RDONLY), NULL, to, NULL, 10, 0));
}

CASE("copy/sendfile-and-splice") {
  int from = open_or_fail("from", O_CREAT | O_RDWR), to = open_or_fail("to", O_CREAT | O_RDWR);
  write_pattern(from, 0, 500000, 1);
  off_t offset = 0;
  while (offset < 500000) TRUE(OK(sendfile(to, from, &offset, 500000 - offset)) > 0);
  check_pattern(to, 0, 500000, 1);
  int ends[2];
  OK(pipe(ends));
  loff_t at = 100;
  EQ(OK(splice(from, &at, ends[1], NULL, 4096, 0)), 4096);
  char got[4096], wanted[4096];
  EQ(OK(read(ends[0], got, 4096)), 4096);
  fill_pattern(wanted, 4096, 100, 1);
  TRUE(!memcmp(got, wanted, 4096));
}

/* FICLONE shares blocks or says that it cannot. */
CASE("copy/clone-is-right-or-refused") {
  int from = open_or_fail("from", O_CREAT | O_RDWR), to = open_or_fail("to", O_CREAT | O_RDWR);
  write_pattern(from, 0, MIB, 1);
  if (ioctl(to, _IOW(0x94, 9, int), from) != 0) {
    TRUE(errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL);
    EQ(size_of("to"), 0);
    return;
  }
  check_pattern(to, 0, MIB, 1);
}

/* ── a reader and a writer at once ── */

CASE("write/reader-sees-old-or-new-bytes-of-a-page-never-others") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  char page[4096];
  memset(page, 'a', sizeof page);
  EQ(OK(pwrite(fd, page, sizeof page, 0)), 4096);
  pid_t child = fork_child();
  if (child == 0) {
    for (int i = 0; i < 2000; i++) {
      memset(page, i % 2 ? 'a' : 'b', sizeof page);
      EQ(OK(pwrite(fd, page, sizeof page, 0)), 4096);
    }
    leave_child();
  }
  int status;
  char text[4096];
  while (waitpid(child, &status, WNOHANG) == 0) {
    EQ(OK(pread(fd, text, sizeof text, 0)), 4096);
    for (int i = 0; i < 4096; i++) TRUE(text[i] == 'a' || text[i] == 'b');
  }
  EQ(status, 0);
}
