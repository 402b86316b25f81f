/*
 * The words in which the POSIX cases are written, and the interface of their runner (harness.c).
 *
 * A case is a named function. It runs as root in a process of its own, in an empty directory of its own on the file system under
 * test (the current directory, mode 0755, umask 0), with a time limit. It passes when it returns; the first claim that does not hold
 * ends it with one line saying where, what, and which errno. Names are `group/what-is-claimed`.
 */
#ifndef CFS_POSIX_HARNESS_H
#define CFS_POSIX_HARNESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* Users and groups that need not exist: only numbers matter to the kernel. */
enum { ALICE = 40001, BOB = 40002, STAFF = 40003, CREW = 40004 };

typedef void (*case_function)(const void *argument);

/* Adds a case; `argument` must live as long as the process. Names are copied. */
void add_case(const char *name, case_function run, const void *argument);
/* The same with a name made by printf rules. */
void add_case_named(case_function run, const void *argument, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
/* Runs once before main: for tables that register many cases. */
#define AT_START(fn) __attribute__((constructor)) static void fn(void)
#define CASE(name)                                                                                   \
  static void JOIN(case_, __LINE__)(const void *argument);                                           \
  AT_START(JOIN(add_, __LINE__)) { add_case(name, JOIN(case_, __LINE__), NULL); }                    \
  static void JOIN(case_, __LINE__)(const void *argument __attribute__((unused)))

/* ── claims ── */
_Noreturn void fail_at(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
_Noreturn void skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
long check_ok(long result, const char *text, const char *file, int line);
void check_error(long result, const int *wanted, const char *text, const char *file, int line);
void check_equal(long long left, long long right, const char *leftText, const char *rightText, const char *file, int line);

#define FAIL(...) fail_at(__FILE__, __LINE__, __VA_ARGS__)
/* The call succeeds; its value. */
#define OK(call) check_ok((long)(call), #call, __FILE__, __LINE__)
/* The call returns -1 with this errno. */
#define ERR(code, call) check_error((long)(call), (const int[]){code, 0}, #call, __FILE__, __LINE__)
/* The call returns -1 with one of two errnos that POSIX both allows. */
#define ERR2(code, other, call) check_error((long)(call), (const int[]){code, other, 0}, #call, __FILE__, __LINE__)
#define EQ(left, right) check_equal((long long)(left), (long long)(right), #left, #right, __FILE__, __LINE__)
#define TRUE(claim)                          \
  do {                                       \
    if (!(claim)) FAIL("not true: %s", #claim); \
  } while (0)

/* ── other users and processes ── */
/* Forks; in the child, takes the ids and returns true. In the parent, waits, passes on a failure, returns false. */
bool enter_child(long uid, long gid, int groupCount, const gid_t *groups);
_Noreturn void leave_child(void);
/* AS(uid, gid) { … } runs the block as that user with no other groups; AS_GROUPS names the other groups; CHILD keeps root. */
#define AS_GROUPS(uid, gid, ...)                                                                                       \
  for (bool inside = enter_child(uid, gid, sizeof((gid_t[]){__VA_ARGS__}) / sizeof(gid_t), (const gid_t[]){__VA_ARGS__}); inside; leave_child())
#define AS(uid, gid) for (bool inside = enter_child(uid, gid, 0, NULL); inside; leave_child())
#define CHILD for (bool inside = enter_child(-1, -1, 0, NULL); inside; leave_child())
/* A child that runs beside the case: start one with fork_child() == 0, and claim with join_child that it passed. */
pid_t fork_child(void);
void join_child(pid_t pid);
/* Waits up to 5 s until the process sleeps in the kernel (state S or D), as one does that waits for a lock. */
void wait_until_asleep(pid_t pid);

/* ── files ── */
/* Makes an empty file, or one with these bytes; both fail the case when they cannot. */
void make_file(const char *path, mode_t mode);
void make_file_with(const char *path, const void *bytes, size_t size);
void make_text(const char *path, const char *text);
void make_dir(const char *path, mode_t mode);
/* A directory that belongs to this user and group. */
void make_dir_of(const char *path, uid_t uid, gid_t gid, mode_t mode);
void make_file_of(const char *path, uid_t uid, gid_t gid, mode_t mode);
void make_socket(const char *path);
int open_or_fail(const char *path, int flags);
/* lstat, and fields of it. */
struct stat stat_of(const char *path);
mode_t mode_of(const char *path); /* permission bits, 07777 */
nlink_t links_of(const char *path);
off_t size_of(const char *path);
ino_t ino_of(const char *path);
bool exists(const char *path);
/* Claims that the file holds exactly these bytes. */
void check_bytes(const char *path, const void *bytes, size_t size);
void check_text(const char *path, const char *text);
void check_range(int fd, off_t offset, const void *bytes, size_t size);
void check_zeros(int fd, off_t offset, size_t size);
/* Fills a buffer with bytes that depend on their offset and a seed, so that any displaced byte shows. */
void fill_pattern(void *buffer, size_t size, off_t offset, unsigned seed);
void write_pattern(int fd, off_t offset, size_t size, unsigned seed);
void check_pattern(int fd, off_t offset, size_t size, unsigned seed);
/* Long enough that a clock tick passes, so that a changed time differs. */
void tick(void);
void sleep_ms(long ms);
int compare_times(struct timespec left, struct timespec right);
/* A string of this many bytes; lives until the case ends. */
char *long_name(size_t size, char letter);
char *format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* An address that no process has; the compiler cannot see through it. */
void *bad_pointer(void);
/* Drops clean caches of the whole machine's page cache, dentries and inodes. */
void drop_caches(void);

/* ── system calls that glibc lacks in places ── */
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#define RENAME_WHITEOUT 4
#endif
int rename2(const char *source, const char *target, unsigned flags);

#endif
