/*
 * Mapped files: shared and private, against read and write, over the end, after truncation, across processes; size and mtime after them.
 */
#include "harness.h"

enum { PAGE = 4096 };

static char *map_file(int fd, size_t size, int protection, int flags) {
  return (char *)OK(mmap(NULL, size, protection, flags, fd, 0));
}

CASE("mmap/shared-read-sees-written-bytes") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 100000, 1);
  char *map = map_file(fd, 100000, PROT_READ, MAP_SHARED), wanted[100];
  fill_pattern(wanted, 100, 50000, 1);
  TRUE(!memcmp(map + 50000, wanted, 100));
  write_pattern(fd, 50000, 100, 2);
  fill_pattern(wanted, 100, 50000, 2);
  TRUE(!memcmp(map + 50000, wanted, 100));
}

CASE("mmap/shared-write-is-seen-by-read") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 100000, 1);
  char *map = map_file(fd, 100000, PROT_READ | PROT_WRITE, MAP_SHARED);
  fill_pattern(map + 30000, 40000, 30000, 2);
  check_pattern(fd, 0, 30000, 1);
  check_pattern(fd, 30000, 40000, 2);
  check_pattern(fd, 70000, 30000, 1);
  check_pattern(open_or_fail("file", O_RDONLY), 30000, 40000, 2);
}

CASE("mmap/shared-write-is-kept-after-msync-and-dropped-caches") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  OK(ftruncate(fd, 1500000));
  char *map = map_file(fd, 1500000, PROT_READ | PROT_WRITE, MAP_SHARED);
  fill_pattern(map, 1500000, 0, 3);
  OK(msync(map, 1500000, MS_SYNC));
  OK(munmap(map, 1500000));
  OK(close(fd));
  drop_caches();
  check_pattern(open_or_fail("file", O_RDONLY), 0, 1500000, 3);
  EQ(size_of("file"), 1500000);
}

CASE("mmap/shared-write-is-kept-without-msync") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  OK(ftruncate(fd, 300000));
  char *map = map_file(fd, 300000, PROT_READ | PROT_WRITE, MAP_SHARED);
  OK(close(fd));
  fill_pattern(map, 300000, 0, 3);
  OK(munmap(map, 300000));
  sync();
  drop_caches();
  check_pattern(open_or_fail("file", O_RDONLY), 0, 300000, 3);
}

CASE("mmap/private-write-stays-private") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 20000, 1);
  char *map = map_file(fd, 20000, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  map[5000] = 0;
  OK(msync(map, 20000, MS_SYNC));
  check_pattern(fd, 0, 20000, 1);
  EQ(map[5000], 0);
}

CASE("mmap/private-write-of-a-read-only-file") {
  make_text("file", "abc");
  char *map = map_file(open_or_fail("file", O_RDONLY), 3, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  map[0] = 'x';
  check_text("file", "abc");
}

CASE("mmap/access-rules") {
  make_text("file", "abc");
  ERR(EACCES, mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, open_or_fail("file", O_RDONLY), 0));
  ERR(EACCES, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, open_or_fail("file", O_WRONLY), 0));
  ERR(EINVAL, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, open_or_fail("file", O_RDONLY), 100));
  ERR(ENODEV, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, open_or_fail(".", O_RDONLY), 0));
}

CASE("mmap/bytes-beyond-the-end-in-the-last-page-are-zero-and-not-kept") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 5000, 1);
  char *map = map_file(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
  for (int i = 5000; i < 2 * PAGE; i++) EQ(map[i], 0);
  map[6000] = 'x';
  OK(msync(map, 2 * PAGE, MS_SYNC));
  EQ(size_of("file"), 5000);
  OK(munmap(map, 2 * PAGE));
  OK(fsync(fd));
  drop_caches();
  OK(ftruncate(fd, 8000));
  check_zeros(fd, 5000, 3000);
}

CASE("mmap/access-beyond-the-last-page-is-sigbus") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 5000, 1);
  pid_t child = fork_child();
  if (child == 0) {
    volatile char *map = map_file(fd, 4 * PAGE, PROT_READ, MAP_SHARED);
    if (map[PAGE] == 0) _exit(4);
    _exit(map[2 * PAGE] ? 5 : 6);
  }
  int status;
  EQ(OK(waitpid(child, &status, 0)), child);
  TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

CASE("mmap/access-after-truncation-is-sigbus") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 4 * PAGE, 1);
  pid_t child = fork_child();
  if (child == 0) {
    volatile char *map = map_file(fd, 4 * PAGE, PROT_READ, MAP_SHARED);
    if (map[3 * PAGE] == 0) _exit(4);
    OK(ftruncate(fd, PAGE));
    _exit(map[3 * PAGE] ? 5 : 6);
  }
  int status;
  EQ(OK(waitpid(child, &status, 0)), child);
  TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

CASE("mmap/grows-with-the-file") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 100, 1);
  char *map = map_file(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED), wanted[100];
  write_pattern(fd, 2 * PAGE, 100, 2);
  fill_pattern(wanted, 100, 2 * PAGE, 2);
  TRUE(!memcmp(map + 2 * PAGE, wanted, 100));
  for (int i = 100; i < 2 * PAGE; i++) EQ(map[i], 0);
}

CASE("mmap/truncate-clears-the-tail-of-the-mapped-page") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, PAGE, 1);
  char *map = map_file(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
  map[10] = 'x';
  OK(ftruncate(fd, 1000));
  OK(ftruncate(fd, PAGE));
  for (int i = 1000; i < PAGE; i++) EQ(map[i], 0);
  check_zeros(fd, 1000, PAGE - 1000);
}

CASE("mmap/punch-shows-in-the-map") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 16 * PAGE, 1);
  char *map = map_file(fd, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
  map[5 * PAGE] = 'x';
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * PAGE + 10, 4 * PAGE));
  for (int i = 4 * PAGE + 10; i < 8 * PAGE + 10; i++) EQ(map[i], 0);
  map[6 * PAGE] = 'y';
  check_range(fd, 6 * PAGE, "y", 1);
}

CASE("mmap/writes-into-a-hole") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  OK(ftruncate(fd, 10 << 20));
  char *map = map_file(fd, 10 << 20, PROT_READ | PROT_WRITE, MAP_SHARED);
  map[5 << 20] = 'x';
  map[(7 << 20) + 4095] = 'y';
  OK(msync(map, 10 << 20, MS_SYNC));
  OK(munmap(map, 10 << 20));
  drop_caches();
  check_range(fd, 5 << 20, "x", 1);
  check_range(fd, (7 << 20) + 4095, "y", 1);
  check_zeros(fd, 0, 5 << 20);
  EQ(size_of("file"), 10 << 20);
}

CASE("mmap/shared-between-processes") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  OK(ftruncate(fd, PAGE));
  volatile int *map = (volatile int *)map_file(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
  pid_t child = fork_child();
  if (child == 0) {
    int own = open_or_fail("file", O_RDWR);
    int *view = (int *)map_file(own, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    for (int i = 0; i < 100000; i++) __sync_fetch_and_add(view, 1);
    leave_child();
  }
  for (int i = 0; i < 100000; i++) __sync_fetch_and_add((int *)map, 1);
  join_child(child);
  EQ(*map, 200000);
}

CASE("mmap/mtime-moves-after-a-write") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, PAGE, 1);
  OK(fsync(fd));
  struct stat before = stat_of("file");
  tick();
  char *map = map_file(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
  map[0] = 'x';
  OK(msync(map, PAGE, MS_SYNC));
  struct stat after = stat_of("file");
  TRUE(compare_times(after.st_mtim, before.st_mtim) > 0);
  TRUE(compare_times(after.st_ctim, before.st_ctim) > 0);
  EQ(after.st_size, PAGE);
}

CASE("mmap/protection-can-be-raised-to-what-the-descriptor-allows") {
  make_text("file", "abc");
  char *readable = map_file(open_or_fail("file", O_RDONLY), PAGE, PROT_READ, MAP_SHARED);
  ERR(EACCES, mprotect(readable, PAGE, PROT_READ | PROT_WRITE));
  char *writable = map_file(open_or_fail("file", O_RDWR), PAGE, PROT_READ, MAP_SHARED);
  OK(mprotect(writable, PAGE, PROT_READ | PROT_WRITE));
  writable[0] = 'x';
  check_text("file", "xbc");
}

CASE("mmap/program-text-can-be-mapped-and-run") {
  int source = open_or_fail("/bin/true", O_RDONLY), target = open_or_fail("program", O_CREAT | O_WRONLY);
  static char buffer[1 << 16];
  for (ssize_t got; (got = OK(read(source, buffer, sizeof buffer))) > 0;) EQ(OK(write(target, buffer, got)), got);
  OK(fchmod(target, 0755));
  OK(close(target));
  drop_caches();
  CHILD { OK(execl("./program", "program", NULL)); }
}

CASE("mmap/mixed-with-writes-of-every-size") {
  enum { SIZE = 400000 };
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  OK(ftruncate(fd, SIZE));
  char *map = map_file(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
  static char model[SIZE];
  unsigned state = 12345;
  for (int step = 0; step < 600; step++) {
    state = state * 1103515245 + 12345;
    size_t offset = (state >> 8) % SIZE, size = 1 + (state >> 4) % 20000;
    if (offset + size > SIZE) size = SIZE - offset;
    fill_pattern(model + offset, size, offset, step + 1);
    if (step % 3 == 0)
      memcpy(map + offset, model + offset, size);
    else
      EQ(OK(pwrite(fd, model + offset, size, offset)), (long)size);
    if (step % 50 == 0) TRUE(!memcmp(map, model, SIZE));
  }
  check_range(fd, 0, model, SIZE);
  OK(fsync(fd));
  OK(munmap(map, SIZE));
  drop_caches();
  check_range(fd, 0, model, SIZE);
}

CASE("mmap/direct-write-shows-in-the-map") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR), direct = open_or_fail("file", O_RDWR | O_DIRECT);
  write_pattern(fd, 0, 4 * PAGE, 1);
  OK(fsync(fd));
  char *map = map_file(fd, 4 * PAGE, PROT_READ, MAP_SHARED);
  EQ(map[PAGE] != 0, 1);
  void *block = NULL;
  EQ(posix_memalign(&block, PAGE, PAGE), 0);
  fill_pattern(block, PAGE, PAGE, 2);
  EQ(OK(pwrite(direct, block, PAGE, PAGE)), PAGE);
  TRUE(!memcmp(map + PAGE, block, PAGE));
}
