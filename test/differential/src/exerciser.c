/*
 * The exerciser of one file: exerciser PATH SEED STEPS [plant STEP | faults EVERY].
 *
 * Random reads, writes, maps, truncations, holes, copies, direct access and reopening, against a model in memory. Every read and the
 * size after every step must agree with the model. `plant` changes the model at a step, to show that a wrong byte is seen. With `faults` it says after every
 * EVERY steps "open" or, with all descriptors closed, "closed", and goes on when it reads a line: meanwhile somebody breaks the server, or mounts
 * anew. The idea of such a tester is old (fsx, 1991); this one also mixes descriptors, maps that stay, and direct with buffered access.
 */
#include "story.h"
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 5 << 20, SPAN_MAX = 600 << 10, PAGE = 4096 };

static char model[FILE_MAX], buffer[FILE_MAX], *directBuffer;
static size_t modelSize;
static const char *path;
/* Buffered, read-only, and direct. */
static int file, reader, direct;
/* A map that stays over many steps, or null. */
static char *standing;

static void must(bool claim, const char *what) {
  if (!claim) story_fail("%s: %s", what, strerror(errno));
}

static void open_all(void) {
  file = open(path, O_RDWR);
  reader = open(path, O_RDONLY);
  direct = open(path, O_RDWR | O_DIRECT);
  must(file >= 0 && reader >= 0, "open");
}

static void close_all(void) {
  if (standing) munmap(standing, FILE_MAX);
  standing = NULL;
  must(close(file) == 0 && close(reader) == 0, "close");
  if (direct >= 0) close(direct);
}

static void compare(const char *got, size_t offset, size_t size, const char *how) {
  if (memcmp(got, model + offset, size) == 0) return;
  for (size_t i = 0; i < size; i++)
    if (got[i] != model[offset + i])
      story_fail("%s: byte %zu of %zu is 0x%02x, expected 0x%02x (read of %zu from %zu)", how, offset + i, modelSize, got[i] & 255, model[offset + i] & 255, size, offset);
}

static void check_size(void) {
  struct stat found;
  must(fstat(chance(50) ? file : reader, &found) == 0, "fstat");
  if ((size_t)found.st_size != modelSize) story_fail("the size is %lld, expected %zu", (long long)found.st_size, modelSize);
}

static void pick_range(size_t *offset, size_t *size) {
  *offset = pick_size(FILE_MAX - 1);
  *size = 1 + pick_size(SPAN_MAX - 1);
  if (*offset + *size > FILE_MAX) *size = FILE_MAX - *offset;
}

/* The model is zero beyond its size at all times, so growing needs no work. */
static void model_resize(size_t size) {
  if (size < modelSize) memset(model + size, 0, modelSize - size);
  modelSize = size;
}
static void model_grow(size_t size) {
  if (size > modelSize) modelSize = size;
}

static void step_read(size_t offset, size_t size) {
  size_t wanted = offset >= modelSize ? 0 : offset + size > modelSize ? modelSize - offset : size;
  ssize_t got = pread(chance(50) ? file : reader, buffer, size, offset);
  if (got < 0 || (size_t)got != wanted) story_fail("read of %zu from %zu gave %zd, expected %zu", size, offset, got, wanted);
  compare(buffer, offset, wanted, "read");
}
static void step_write(size_t offset, size_t size) {
  pick_bytes(buffer, size);
  ssize_t put = pwrite(file, buffer, size, offset);
  if (put < 0 || (size_t)put != size) story_fail("write of %zu at %zu gave %zd: %s", size, offset, put, strerror(errno));
  memcpy(model + offset, buffer, size);
  model_grow(offset + size);
}
static void step_direct(size_t offset, size_t size) {
  offset &= ~(PAGE - 1ul);
  size = (size + PAGE - 1) & ~(PAGE - 1ul);
  if (direct < 0 || offset + size > FILE_MAX) return;
  if (chance(50)) {
    size_t wanted = offset >= modelSize ? 0 : offset + size > modelSize ? modelSize - offset : size;
    ssize_t got = pread(direct, directBuffer, size, offset);
    if (got < 0 || (size_t)got != wanted) story_fail("direct read of %zu from %zu gave %zd, expected %zu", size, offset, got, wanted);
    compare(directBuffer, offset, wanted, "direct read");
    return;
  }
  pick_bytes(directBuffer, size);
  ssize_t put = pwrite(direct, directBuffer, size, offset);
  if (put < 0 || (size_t)put != size) story_fail("direct write of %zu at %zu gave %zd: %s", size, offset, put, strerror(errno));
  memcpy(model + offset, directBuffer, size);
  model_grow(offset + size);
}
static void step_map(size_t offset, size_t size) {
  if (offset >= modelSize) return;
  if (offset + size > modelSize) size = modelSize - offset;
  size_t begin = offset & ~(PAGE - 1ul), length = offset + size - begin;
  char *map = standing ? standing + begin : mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, begin);
  must(map != MAP_FAILED, "mmap");
  compare(map + (offset - begin), offset, size, "map");
  if (chance(60)) {
    pick_bytes(buffer, size);
    memcpy(map + (offset - begin), buffer, size);
    memcpy(model + offset, buffer, size);
    if (chance(25)) must(msync(map, length, chance(50) ? MS_SYNC : MS_ASYNC) == 0, "msync");
  }
  if (!standing) must(munmap(map, length) == 0, "munmap");
}
static void step_standing_map(void) {
  if (standing) {
    must(munmap(standing, FILE_MAX) == 0, "munmap");
    standing = NULL;
    return;
  }
  standing = mmap(NULL, FILE_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  must(standing != MAP_FAILED, "mmap");
}
static void step_truncate(size_t size) {
  must((chance(50) ? ftruncate(file, size) : truncate(path, size)) == 0, "truncate");
  model_resize(size);
}
static void step_fallocate(size_t offset, size_t size) {
  switch (pick(5)) {
    case 0:
    case 1:
      must(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size) == 0, "punch hole");
      memset(model + offset, 0, size);
      break;
    case 2:
      must(fallocate(file, FALLOC_FL_ZERO_RANGE, offset, size) == 0, "zero range");
      memset(model + offset, 0, size);
      model_grow(offset + size);
      break;
    case 3:
      must(fallocate(file, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, size) == 0, "zero range, keep size");
      memset(model + offset, 0, size);
      break;
    default: {
      bool isKeeping = chance(50);
      must(fallocate(file, isKeeping ? FALLOC_FL_KEEP_SIZE : 0, offset, size) == 0, "fallocate");
      if (!isKeeping) model_grow(offset + size);
    }
  }
}
static void step_copy(size_t offset, size_t size) {
  size_t to = pick_size(FILE_MAX - 1);
  if (offset >= modelSize) return;
  if (offset + size > modelSize) size = modelSize - offset;
  if (to + size > FILE_MAX) size = FILE_MAX - to;
  if (to < offset + size && offset < to + size) return;
  loff_t from = offset, target = to;
  for (size_t left = size; left > 0;) {
    ssize_t done = copy_file_range(reader, &from, file, &target, left, 0);
    if (done <= 0) story_fail("copy of %zu from %zu to %zu gave %zd: %s", size, offset, to, done, strerror(errno));
    left -= done;
  }
  memcpy(model + to, model + offset, size);
  model_grow(to + size);
}
static void step_seek(size_t offset) {
  off_t data = lseek(file, offset, SEEK_DATA);
  size_t end = data < 0 ? modelSize : (size_t)data;
  if (data < 0 && errno != ENXIO) story_fail("SEEK_DATA from %zu: %s", offset, strerror(errno));
  for (size_t i = offset; i < end && i < modelSize; i++)
    if (model[i]) story_fail("SEEK_DATA from %zu gave %lld, but byte %zu is data", offset, (long long)data, i);
}
static void drop_caches(void) {
  must(fsync(file) == 0, "fsync");
  int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
  if (fd < 0) return;
  if (write(fd, "1", 1) != 1) errno = 0;
  close(fd);
}

/* An append, and a private map, whose bytes must not come back. */
static void step_append(size_t size) {
  if (modelSize + size > FILE_MAX) return;
  int appender = open(path, O_WRONLY | O_APPEND);
  must(appender >= 0, "open to append");
  pick_bytes(buffer, size);
  ssize_t put = write(appender, buffer, size);
  if (put < 0 || (size_t)put != size) story_fail("append of %zu gave %zd: %s", size, put, strerror(errno));
  must(close(appender) == 0, "close");
  memcpy(model + modelSize, buffer, size);
  model_grow(modelSize + size);
}
static void step_private_map(size_t offset, size_t size) {
  if (offset >= modelSize) return;
  if (offset + size > modelSize) size = modelSize - offset;
  size_t begin = offset & ~(PAGE - 1ul), length = offset + size - begin;
  char *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, reader, begin);
  must(map != MAP_FAILED, "mmap");
  compare(map + (offset - begin), offset, size, "private map");
  memset(map + (offset - begin), 0x55, size);
  must(munmap(map, length) == 0, "munmap");
}
/* Whoever reads our words breaks something now, or while we go on. What was synced must be there whatever it is. */
static void fault(void) {
  bool isClosed = chance(40);
  char line[16];
  if (isClosed) {
    must(fsync(file) == 0, "fsync");
    close_all();
  }
  story_tell("fault while %s", isClosed ? "closed" : "open");
  printf("%s\n", isClosed ? "closed" : "open");
  if (!fgets(line, sizeof line, stdin)) story_fail("nobody answers");
  if (isClosed) open_all();
  step_read(0, FILE_MAX);
}

static void run_step(void) {
  size_t offset, size;
  pick_range(&offset, &size);
  unsigned what = pick(100);
  static const struct { unsigned below; const char *name; } names[] = {{24, "read"}, {48, "write"}, {56, "direct"}, {70, "map"}, {73, "standing map"}, {79, "truncate"}, {87, "fallocate"}, {91, "copy"}, {94, "seek"}, {96, "fsync"}, {97, "append"}, {98, "private map"}, {99, "reopen"}, {100, "drop caches"}};
  const char *name = names[0].name;
  for (size_t i = 0; what >= names[i].below; i++) name = names[i + 1].name;
  story_tell("%s offset %zu size %zu (file of %zu)", name, offset, size, modelSize);
  if (what < 24) step_read(offset, size);
  else if (what < 48) step_write(offset, size);
  else if (what < 56) step_direct(offset, size);
  else if (what < 70) step_map(offset, size);
  else if (what < 73) step_standing_map();
  else if (what < 79) step_truncate(offset);
  else if (what < 87) step_fallocate(offset, size);
  else if (what < 91) step_copy(offset, size);
  else if (what < 94) step_seek(offset);
  else if (what < 96) must((chance(50) ? fsync(file) : fdatasync(file)) == 0, "fsync");
  else if (what < 97) step_append(size);
  else if (what < 98) step_private_map(offset, size);
  else if (what < 99) {
    close_all();
    open_all();
  } else if (chance(40)) drop_caches();
  check_size();
}

int main(int count, char **args) {
  if (count != 4 && count != 6) {
    fprintf(stderr, "use: %s PATH SEED STEPS [plant STEP | faults EVERY]\n", args[0]);
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  path = args[1];
  story_begin(strtoull(args[2], NULL, 10));
  long steps = strtol(args[3], NULL, 10), argument = count == 6 ? strtol(args[5], NULL, 10) : 0;
  long plantStep = count == 6 && !strcmp(args[4], "plant") ? argument : -1, faultEvery = count == 6 && plantStep < 0 ? argument : LONG_MAX;
  if (posix_memalign((void **)&directBuffer, PAGE, FILE_MAX) != 0) abort();
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) {
    perror(path);
    return 2;
  }
  close(fd);
  open_all();
  for (story.step = 0; story.step < steps; story.step++) {
    run_step();
    if (story.step == plantStep && modelSize > 0) model[modelSize / 2] ^= 1;
    if (story.step % 500 == 499) step_read(0, FILE_MAX);
    if (story.step % faultEvery == faultEvery - 1) fault();
  }
  step_read(0, FILE_MAX);
  close_all();
  open_all();
  drop_caches();
  step_read(0, FILE_MAX);
  close_all();
  unlink(path);
  printf("right after %ld steps\n", steps);
  return 0;
}
