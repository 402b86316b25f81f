/* See story.h. The generator is splitmix64: short, and good enough to choose steps. */
#include "story.h"

enum { KEPT_STEPS = 40, LINE_MAX_BYTES = 200 };

struct story story;
static char told[KEPT_STEPS][LINE_MAX_BYTES];
static long toldCount;

static uint64_t next(void) {
  uint64_t mixed = (story.state += 0x9E3779B97F4A7C15ull);
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ull;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBull;
  return mixed ^ (mixed >> 31);
}

void story_begin(uint64_t seed) {
  story = (struct story){.state = seed, .seed = seed, .step = 0};
  story.state = next() ^ (seed << 32); /* neighbouring seeds must not walk the same sequence */
}

uint64_t pick(uint64_t limit) { return next() % limit; }
bool chance(unsigned percent) { return pick(100) < percent; }

size_t pick_size(size_t limit) {
  static const size_t borders[] = {0, 1, 511, 4095, 4096, 4097, 8192, 65536, 131072, 524287, 524288, 1048575, 1048576, 1048577};
  size_t size = chance(30) ? borders[pick(sizeof borders / sizeof borders[0])] : chance(60) ? pick(9000) : pick(limit + 1);
  return size > limit ? size % (limit + 1) : size;
}

void pick_bytes(char *buffer, size_t size) {
  for (size_t i = 0; i < size; i += 8) {
    uint64_t word = next() | 0x0101010101010101ull;
    memcpy(buffer + i, &word, size - i < 8 ? size - i : 8);
  }
}

void story_tell(const char *format, ...) {
  char *line = told[toldCount++ % KEPT_STEPS];
  int used = snprintf(line, LINE_MAX_BYTES, "%6ld ", story.step);
  va_list list;
  va_start(list, format);
  vsnprintf(line + used, LINE_MAX_BYTES - used, format, list);
  va_end(list);
  if (getenv("CFS_STORY")) fprintf(stderr, "%s\n", line);
}

_Noreturn void story_fail(const char *format, ...) {
  printf("the last steps:\n");
  for (long i = toldCount > KEPT_STEPS ? toldCount - KEPT_STEPS : 0; i < toldCount; i++) printf("%s\n", told[i % KEPT_STEPS]);
  printf("seed %llu step %ld: ", (unsigned long long)story.seed, story.step);
  va_list list;
  va_start(list, format);
  vprintf(format, list);
  va_end(list);
  printf("\n");
  exit(1);
}

const char *error_name(int code) {
  if (code == 0) return "ok";
  const char *name = strerrorname_np(code);
  return name ? name : "?";
}

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size) {
  const unsigned char *at = bytes;
  for (; size >= 8; at += 8, size -= 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    hash = (hash ^ word) * 0x9FB21C651E98DF25ull;
    hash ^= hash >> 32;
  }
  for (; size; size--) hash = (hash ^ *at++) * 0x100000001B3ull;
  return hash;
}
