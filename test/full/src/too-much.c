/*
 * Writes more than there is room for, through the page cache, and says what each call answered.
 *
 * Use: too-much fsync|close|msync FILE BYTES
 * Prints one line for each call that came to an end: "CALL ERRNO" (0: it succeeded). The bytes cannot be compressed. Calls after the first that failed
 * are made all the same: what was told once is not told again on the same descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE (1u << 20)

static uint64_t state;

static void fill(unsigned char *bytes, size_t count) {
  for (size_t at = 0; at < count; at += sizeof state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    memcpy(bytes + at, &state, sizeof state);
  }
}

static void say(const char *call, int result) { printf("%s %d\n", call, result < 0 ? errno : 0); }

static void write_all(int file, size_t count) {
  static unsigned char piece[PIECE];
  for (size_t at = 0; at < count; at += PIECE) {
    fill(piece, PIECE);
    if (write(file, piece, PIECE) < 0) {
      say("write", -1);
      return;
    }
  }
  say("write", 0);
}

static void map_all(int file, size_t count) {
  say("ftruncate", ftruncate(file, (off_t)count));
  unsigned char *bytes = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (bytes == MAP_FAILED) {
    say("mmap", -1);
    return;
  }
  fill(bytes, count);
  say("msync", msync(bytes, count, MS_SYNC));
  say("munmap", munmap(bytes, count));
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  const char *mode = argv[1];
  size_t count = strtoull(argv[3], NULL, 10);
  int file = open(argv[2], O_RDWR | O_CREAT, 0644);
  int other = open(argv[2], O_RDWR);
  if (file < 0 || other < 0) {
    say("open", -1);
    return 1;
  }
  state = 88172645463325252ull + (uint64_t)mode[0];
  if (strcmp(mode, "msync") == 0) map_all(file, count);
  else write_all(file, count);
  if (strcmp(mode, "fsync") == 0) {
    say("fsync", fsync(file));
    say("fsync-again", fsync(file));
  }
  say("close", close(file));
  say("fsync-other", fsync(other));
  say("close-other", close(other));
  return 0;
}
