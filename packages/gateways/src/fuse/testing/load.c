/* The load of session.bench.ts. Usage: load STEP DIRECTORY WORKERS SECONDS; prints calls, seconds, bytes (0: calls count).
   Steps: fill randread stat create writedirect readdirect writebuffered readcold. Data: DIRECTORY/data, 256 MiB. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { data_bytes = 256 << 20, small_bytes = 4096, large_bytes = 1 << 20, workers_max = 64 };

static const char *step, *directory;
static double end_time;
static long counts[workers_max];

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void check(int is_fine, const char *what) {
  if (is_fine) return;
  fprintf(stderr, "%s: %s: %s\n", step, what, strerror(errno));
  exit(1);
}

static char *buffer(size_t bytes) {
  void *result = NULL;
  check(posix_memalign(&result, 4096, bytes) == 0, "memory");
  memset(result, 'x', bytes);
  return result;
}

static int open_data(int flags) {
  char path[512];
  snprintf(path, sizeof path, "%s/data", directory);
  int fd = open(path, flags, 0644);
  check(fd >= 0, path);
  return fd;
}

static void *small_worker(void *argument) {
  long worker = (long)argument, count = 0;
  char path[512], *bytes = buffer(small_bytes);
  unsigned long seed = (unsigned long)worker * 7919 + 17;
  int fd = open_data(O_RDONLY | O_DIRECT);
  struct stat info;
  while (now() < end_time) {
    if (step[0] == 'r') {
      seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
      check(pread(fd, bytes, small_bytes, (off_t)(seed % (data_bytes / small_bytes)) * small_bytes) == small_bytes, "pread");
    } else if (step[0] == 's') {
      check(fstat(fd, &info) == 0, "fstat");
    } else {
      snprintf(path, sizeof path, "%s/f%ld-%ld-%d", directory, worker, count, (int)getpid());
      int made = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
      check(made >= 0 && close(made) == 0, path);
    }
    count++;
  }
  counts[worker] = count;
  return NULL;
}

static long large(int flags, int is_write, double limit) {
  int fd = open_data(flags);
  char *bytes = buffer(large_bytes);
  long count = 0, per_pass = data_bytes / large_bytes;
  while (now() < limit || count == 0) {
    for (long index = 0; index < per_pass; index++, count++) {
      off_t at = (off_t)index * large_bytes;
      ssize_t done = is_write ? pwrite(fd, bytes, large_bytes, at) : pread(fd, bytes, large_bytes, at);
      check(done == large_bytes, "transfer");
    }
    if (!strcmp(step, "readcold") || !strcmp(step, "fill")) break;
  }
  close(fd);
  return count;
}

int main(int count, char **values) {
  if (count < 5) return 2;
  step = values[1], directory = values[2];
  long workers = atol(values[3]), total = 0, bytes = 0;
  double begin = now();
  end_time = begin + atof(values[4]);
  if (!strcmp(step, "fill")) total = large(O_CREAT | O_WRONLY, 1, 0);
  else if (!strcmp(step, "writedirect")) total = large(O_WRONLY | O_DIRECT, 1, end_time);
  else if (!strcmp(step, "readdirect")) total = large(O_RDONLY | O_DIRECT, 0, end_time);
  else if (!strcmp(step, "writebuffered")) total = large(O_WRONLY, 1, end_time);
  else if (!strcmp(step, "readcold")) total = large(O_RDONLY, 0, 0);
  else {
    pthread_t threads[workers_max];
    for (long index = 0; index < workers; index++) pthread_create(&threads[index], NULL, small_worker, (void *)index);
    for (long index = 0; index < workers; index++) pthread_join(threads[index], NULL);
    for (long index = 0; index < workers; index++) total += counts[index];
  }
  if (strcmp(step, "randread") && strcmp(step, "stat") && strcmp(step, "create")) bytes = total * large_bytes;
  printf("%ld %f %ld\n", total, now() - begin, bytes);
  return 0;
}
