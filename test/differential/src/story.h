/*
 * What the two random testers share: numbers that follow from a seed, and the last steps kept for the report of a failure.
 *
 * A run is a function of (program, seed, step count). A failure prints seed and step, so that the same command line finds it again.
 */
#ifndef CFS_STORY_H
#define CFS_STORY_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct story {
  uint64_t state, seed;
  long step;
};
extern struct story story;

void story_begin(uint64_t seed);
/* The next number below `limit`, which is not 0. */
uint64_t pick(uint64_t limit);
bool chance(unsigned percent);
/* Many small numbers, few large ones, now and then a border where file systems change their minds; at most `limit`. */
size_t pick_size(size_t limit);
/* Bytes that are never zero. */
void pick_bytes(char *buffer, size_t size);
/* Writes down what the current step does; the last ones are printed by story_fail. */
void story_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void story_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *error_name(int code);
uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size);

#endif
