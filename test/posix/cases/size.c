/*
 * File sizes and holes: truncate, fallocate in all its modes, SEEK_HOLE and SEEK_DATA, st_blocks.
 *
 * Sizes stand at the borders where file systems change their minds: a page, an inline limit, a region, a segment.
 */
#include "harness.h"

enum { KIB = 1024, MIB = 1024 * 1024 };

static const long borders[] = {0, 1, 511, 512, 4095, 4096, 4097, 8192, 65535, 65536, 131073, 524288, 1048575, 1048576, 1048577, 2097152, 3000000};
enum { BORDER_COUNT = sizeof borders / sizeof borders[0] };

static void write_and_read(const void *argument) {
  long size = *(const long *)argument;
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, size, 1);
  EQ(size_of("file"), size);
  check_pattern(fd, 0, size, 1);
  OK(fsync(fd));
  OK(close(fd));
  drop_caches();
  fd = open_or_fail("file", O_RDONLY);
  check_pattern(fd, 0, size, 1);
  char byte;
  EQ(OK(pread(fd, &byte, 1, size)), 0);
}

/* Cuts a longer file and makes it longer again: what comes back is zeros. */
static void cut_and_grow(const void *argument) {
  long size = *(const long *)argument;
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, size + 5000, 1);
  OK(ftruncate(fd, size));
  EQ(size_of("file"), size);
  char byte;
  EQ(OK(pread(fd, &byte, 1, size)), 0);
  OK(ftruncate(fd, size + 9000));
  EQ(size_of("file"), size + 9000);
  check_pattern(fd, 0, size, 1);
  check_zeros(fd, size, 9000);
  OK(fsync(fd));
  drop_caches();
  check_pattern(fd, 0, size, 1);
  check_zeros(fd, size, 9000);
}

/* Writes one byte beyond: the gap reads as zeros. */
static void write_beyond(const void *argument) {
  long size = *(const long *)argument;
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 10, 1);
  write_pattern(fd, 10 + size, 100, 2);
  EQ(size_of("file"), 110 + size);
  check_pattern(fd, 0, 10, 1);
  check_zeros(fd, 10, size);
  check_pattern(fd, 10 + size, 100, 2);
}

/* Overwrites across the border in a longer file. */
static void overwrite_across(const void *argument) {
  long border = *(const long *)argument;
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, border + 10000, 1);
  OK(fsync(fd));
  long begin = border > 100 ? border - 100 : 0;
  write_pattern(fd, begin, 200, 2);
  check_pattern(fd, 0, begin, 1);
  check_pattern(fd, begin, 200, 2);
  check_pattern(fd, begin + 200, border + 10000 - begin - 200, 1);
  EQ(size_of("file"), border + 10000);
}

static void punch_at(const void *argument) {
  long border = *(const long *)argument;
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  long size = border + 20000;
  write_pattern(fd, 0, size, 1);
  OK(fsync(fd));
  long begin = border > 3000 ? border - 3000 : border;
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, begin, 7000));
  check_pattern(fd, 0, begin, 1);
  check_zeros(fd, begin, 7000);
  check_pattern(fd, begin + 7000, size - begin - 7000, 1);
  EQ(size_of("file"), size);
  OK(fsync(fd));
  drop_caches();
  check_zeros(fd, begin, 7000);
  check_pattern(fd, begin + 7000, size - begin - 7000, 1);
}

AT_START(add_borders) {
  for (int i = 0; i < BORDER_COUNT; i++) {
    add_case_named(write_and_read, &borders[i], "size/write-of-%ld-bytes", borders[i]);
    add_case_named(cut_and_grow, &borders[i], "truncate/at-%ld-then-longer-reads-zeros", borders[i]);
    add_case_named(write_beyond, &borders[i], "size/gap-of-%ld-bytes", borders[i]);
    add_case_named(overwrite_across, &borders[i], "size/overwrite-across-%ld", borders[i]);
    add_case_named(punch_at, &borders[i], "fallocate/punch-around-%ld", borders[i]);
  }
}

CASE("truncate/errors") {
  make_file("file", 0644);
  make_dir("d", 0755);
  OK(mkfifo("fifo", 0644));
  ERR(EINVAL, truncate("file", -1));
  ERR(EISDIR, truncate("d", 0));
  ERR(EINVAL, truncate("fifo", 0));
  ERR2(EINVAL, EBADF, ftruncate(open_or_fail("file", O_RDONLY), 0));
  make_file_of("closed", BOB, BOB, 0444);
  AS(ALICE, ALICE) { ERR(EACCES, truncate("closed", 0)); }
}

CASE("truncate/by-path-and-through-a-symlink") {
  make_text("file", "abcdef");
  OK(symlink("file", "link"));
  OK(truncate("link", 3));
  check_text("file", "abc");
}

CASE("truncate/size-limit-of-the-process-is-kept") {
  make_file("file", 0644);
  CHILD {
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit { unsigned long now, max; } limit = {1000, 1000};
    OK(syscall(SYS_setrlimit, 1 /* RLIMIT_FSIZE */, &limit));
    ERR(EFBIG, truncate("file", 1001));
    OK(truncate("file", 1000));
    int fd = open_or_fail("file", O_WRONLY);
    EQ(OK(pwrite(fd, "abcd", 4, 998)), 2);
    ERR(EFBIG, pwrite(fd, "a", 1, 1000));
  }
}

CASE("truncate/sparse-terabyte") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  off_t size = 1LL << 40;
  OK(ftruncate(fd, size));
  EQ(size_of("file"), size);
  check_zeros(fd, size - 5000, 5000);
  write_pattern(fd, size - 100, 100, 1);
  check_pattern(fd, size - 100, 100, 1);
  TRUE(stat_of("file").st_blocks < 2048);
  OK(ftruncate(fd, 0));
}

CASE("truncate/to-zero-and-back-under-another-descriptor") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR), other = open_or_fail("file", O_RDWR);
  write_pattern(fd, 0, 100000, 1);
  OK(ftruncate(other, 0));
  char byte;
  EQ(OK(pread(fd, &byte, 1, 0)), 0);
  write_pattern(fd, 50000, 10, 2);
  check_zeros(other, 0, 50000);
  check_pattern(other, 50000, 10, 2);
}

CASE("truncate/offset-of-the-descriptor-stays") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  EQ(OK(write(fd, "abcdef", 6)), 6);
  OK(ftruncate(fd, 2));
  EQ(OK(lseek(fd, 0, SEEK_CUR)), 6);
  EQ(OK(write(fd, "g", 1)), 1);
  check_bytes("file", "ab\0\0\0\0g", 7);
}

CASE("size/largest-offset") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  ERR2(EFBIG, EINVAL, pwrite(fd, "x", 1, LLONG_MAX));
  ERR(EINVAL, pwrite(fd, "x", 1, -1));
  ERR2(EINVAL, EFBIG, ftruncate(fd, LLONG_MAX));
  ERR2(EINVAL, EOVERFLOW, lseek(fd, -1, SEEK_SET));
}

CASE("blocks/sparse-file-uses-little") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  OK(ftruncate(fd, 1 << 30));
  TRUE(stat_of("file").st_blocks <= 128);
}

CASE("blocks/follow-what-is-written-and-punched") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 4 * MIB, 1);
  OK(fsync(fd));
  blkcnt_t full = stat_of("file").st_blocks;
  TRUE(full >= 4 * MIB / 512);
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * MIB));
  OK(fsync(fd));
  blkcnt_t half = stat_of("file").st_blocks;
  TRUE(half <= full - 2 * MIB / 512 + 64);
  OK(ftruncate(fd, 0));
  OK(fsync(fd));
  TRUE(stat_of("file").st_blocks <= 64);
}

CASE("fallocate/makes-longer-with-zeros") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 1000, 1);
  OK(fallocate(fd, 0, 500, 100000));
  EQ(size_of("file"), 100500);
  check_pattern(fd, 0, 1000, 1);
  check_zeros(fd, 1000, 99500);
}

CASE("fallocate/inside-changes-nothing") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 50000, 1);
  OK(fallocate(fd, 0, 100, 1000));
  EQ(size_of("file"), 50000);
  check_pattern(fd, 0, 50000, 1);
}

CASE("fallocate/keep-size-allocates-beyond-the-end") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 1000, 1);
  OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 2 * MIB));
  EQ(size_of("file"), 1000);
  TRUE(stat_of("file").st_blocks >= 2 * MIB / 512);
  char byte;
  EQ(OK(pread(fd, &byte, 1, 1000)), 0);
  OK(ftruncate(fd, 5000));
  check_zeros(fd, 1000, 4000);
}

CASE("fallocate/reserves-blocks") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  OK(fallocate(fd, 0, 0, 4 * MIB));
  TRUE(stat_of("file").st_blocks >= 4 * MIB / 512);
  check_zeros(fd, 0, 4 * MIB);
  write_pattern(fd, MIB, 100, 1);
  check_zeros(fd, 0, MIB);
  check_pattern(fd, MIB, 100, 1);
  check_zeros(fd, MIB + 100, 1000);
}

CASE("fallocate/punch-past-the-end-keeps-the-size") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 10000, 1);
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5000, MIB));
  EQ(size_of("file"), 10000);
  check_pattern(fd, 0, 5000, 1);
  check_zeros(fd, 5000, 5000);
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100000, 1000));
  EQ(size_of("file"), 10000);
}

CASE("fallocate/punch-of-dirty-bytes") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 300000, 1);
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, 299998));
  check_pattern(fd, 0, 1, 1);
  check_zeros(fd, 1, 299998);
  check_pattern(fd, 299999, 1, 1);
  write_pattern(fd, 70000, 10, 2);
  check_zeros(fd, 1, 69999);
  check_pattern(fd, 70000, 10, 2);
}

CASE("fallocate/punch-of-everything-then-write") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  for (int round = 1; round < 6; round++) {
    write_pattern(fd, 0, 150000, round);
    check_pattern(fd, 0, 150000, round);
    OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 150000));
    check_zeros(fd, 0, 150000);
  }
  EQ(size_of("file"), 150000);
}

CASE("fallocate/punch-small-file") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  EQ(OK(write(fd, "0123456789", 10)), 10);
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3));
  check_bytes("file", "01\0\0\0" "56789", 10);
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8, 3000));
  check_bytes("file", "01\0\0\0" "567\0\0", 10);
}

CASE("fallocate/zero-range") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 100000, 1);
  OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 3000, 50001));
  check_pattern(fd, 0, 3000, 1);
  check_zeros(fd, 3000, 50001);
  check_pattern(fd, 53001, 46999, 1);
  OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 99000, 5000));
  EQ(size_of("file"), 104000);
  check_zeros(fd, 99000, 5000);
  OK(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 103000, 50000));
  EQ(size_of("file"), 104000);
}

CASE("fallocate/errors") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  ERR(EINVAL, fallocate(fd, 0, -1, 10));
  ERR(EINVAL, fallocate(fd, 0, 0, 0));
  ERR(EINVAL, fallocate(fd, 0, 0, -5));
  ERR2(EOPNOTSUPP, EINVAL, fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
  ERR(EFBIG, fallocate(fd, 0, LLONG_MAX - 10, 20));
  ERR(EBADF, fallocate(open_or_fail("file", O_RDONLY), 0, 0, 10));
  make_dir("d", 0755);
  ERR2(EBADF, EISDIR, fallocate(open_or_fail("d", O_RDONLY), 0, 0, 10));
  int ends[2];
  OK(pipe(ends));
  ERR(ESPIPE, fallocate(ends[1], 0, 0, 10));
}

/* Collapse and insert are right or refused, never half done. */
CASE("fallocate/collapse-range-is-right-or-refused") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 64 * KIB, 1);
  if (fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 8 * KIB, 16 * KIB) != 0) {
    EQ(errno, EOPNOTSUPP);
    check_pattern(fd, 0, 64 * KIB, 1);
    return;
  }
  EQ(size_of("file"), 48 * KIB);
  check_pattern(fd, 0, 8 * KIB, 1);
}

CASE("fallocate/posix-fallocate") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  EQ(posix_fallocate(fd, 0, 70000), 0);
  EQ(size_of("file"), 70000);
  check_zeros(fd, 0, 70000);
}

/* ── where the holes are ── */

CASE("seek/data-and-hole-in-a-full-file") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 100000, 1);
  EQ(OK(lseek(fd, 0, SEEK_DATA)), 0);
  EQ(OK(lseek(fd, 50000, SEEK_DATA)), 50000);
  EQ(OK(lseek(fd, 0, SEEK_HOLE)), 100000);
  EQ(OK(lseek(fd, 99999, SEEK_HOLE)), 100000);
  ERR(ENXIO, lseek(fd, 100000, SEEK_DATA));
  ERR(ENXIO, lseek(fd, 100000, SEEK_HOLE));
  ERR(ENXIO, lseek(fd, -1, SEEK_DATA));
}

CASE("seek/in-a-file-of-one-hole") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  OK(ftruncate(fd, 10 * MIB));
  EQ(OK(lseek(fd, 0, SEEK_HOLE)), 0);
  EQ(OK(lseek(fd, 5 * MIB, SEEK_HOLE)), 5 * MIB);
  ERR(ENXIO, lseek(fd, 0, SEEK_DATA));
}

CASE("seek/between-islands") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  OK(ftruncate(fd, 10 * MIB));
  write_pattern(fd, 2 * MIB, 64 * KIB, 1);
  write_pattern(fd, 6 * MIB, 64 * KIB, 1);
  EQ(OK(lseek(fd, 0, SEEK_DATA)), 2 * MIB);
  EQ(OK(lseek(fd, 2 * MIB, SEEK_HOLE)), 2 * MIB + 64 * KIB);
  EQ(OK(lseek(fd, 3 * MIB, SEEK_DATA)), 6 * MIB);
  EQ(OK(lseek(fd, 6 * MIB + 1, SEEK_HOLE)), 6 * MIB + 64 * KIB);
  ERR(ENXIO, lseek(fd, 7 * MIB, SEEK_DATA));
  EQ(OK(lseek(fd, 0, SEEK_CUR)), 6 * MIB + 64 * KIB);
}

CASE("seek/sees-a-punched-hole") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 4 * MIB, 1);
  OK(fsync(fd));
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, MIB, MIB));
  EQ(OK(lseek(fd, 0, SEEK_HOLE)), MIB);
  EQ(OK(lseek(fd, MIB, SEEK_DATA)), 2 * MIB);
  EQ(OK(lseek(fd, 2 * MIB, SEEK_HOLE)), 4 * MIB);
}

CASE("seek/sees-unsynced-bytes-of-another-descriptor") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR), other = open_or_fail("file", O_RDONLY);
  OK(ftruncate(fd, 8 * MIB));
  write_pattern(fd, 4 * MIB, 4096, 1);
  EQ(OK(lseek(other, 0, SEEK_DATA)), 4 * MIB);
}

CASE("seek/copying-by-holes-gives-an-equal-file") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR), copy = open_or_fail("copy", O_CREAT | O_RDWR);
  for (int i = 0; i < 20; i++) write_pattern(fd, (off_t)i * 300000 + i * 777, 20000 + i * 100, i);
  OK(ftruncate(fd, 7000000));
  OK(ftruncate(copy, 7000000));
  static char buffer[1 << 16];
  off_t at = 0;
  while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
    off_t end = OK(lseek(fd, at, SEEK_HOLE));
    TRUE(end > at);
    while (at < end) {
      ssize_t got = OK(pread(fd, buffer, end - at < (off_t)sizeof buffer ? end - at : (off_t)sizeof buffer, at));
      EQ(OK(pwrite(copy, buffer, got, at)), got);
      at += got;
    }
  }
  EQ(errno, ENXIO);
  static char left[1 << 16];
  for (off_t offset = 0; offset < 7000000; offset += sizeof left) {
    ssize_t got = OK(pread(fd, left, sizeof left, offset));
    check_range(copy, offset, left, got);
  }
}

CASE("seek/plain-whences") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  EQ(OK(write(fd, "abcdef", 6)), 6);
  EQ(OK(lseek(fd, -2, SEEK_END)), 4);
  EQ(OK(lseek(fd, 100, SEEK_END)), 106);
  char byte;
  EQ(OK(read(fd, &byte, 1)), 0);
  EQ(OK(lseek(fd, -6, SEEK_CUR)), 100);
  ERR(EINVAL, lseek(fd, -200, SEEK_CUR));
  ERR(EINVAL, lseek(fd, 0, 77));
  EQ(size_of("file"), 6);
}
