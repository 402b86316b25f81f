/*
 * fcntl (POSIX) and open-file-description record locks: conflicts, blocking and interruption, splitting and merging, owners, release,
 * deadlock detection. Another process asks, because locks of one owner never conflict.
 */
#include "harness.h"

#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#define F_OFD_SETLKW 38
#endif

static int lock(int fd, int command, short type, off_t start, off_t length) {
  struct flock request = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  return fcntl(fd, command, &request);
}

static struct flock ask(int fd, int command, short type, off_t start, off_t length) {
  struct flock request = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  OK(fcntl(fd, command, &request));
  return request;
}

static int file_of(size_t size) {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  OK(ftruncate(fd, size));
  return fd;
}

/* What another process sees of a range: F_UNLCK, F_RDLCK or F_WRLCK as a write lock would meet it. */
static void expect_seen(short type, off_t start, off_t length) {
  CHILD {
    struct flock found = ask(open_or_fail("file", O_RDWR), F_GETLK, F_WRLCK, start, length);
    EQ(found.l_type, type);
  }
}
static void expect_range(short type, off_t askStart, off_t askLength, off_t start, off_t length) {
  pid_t owner = getpid();
  CHILD {
    struct flock found = ask(open_or_fail("file", O_RDWR), F_GETLK, F_WRLCK, askStart, askLength);
    EQ(found.l_type, type);
    EQ(found.l_start, start);
    EQ(found.l_len, length);
    EQ(found.l_whence, SEEK_SET);
    EQ(found.l_pid, owner);
  }
}

static void on_signal(int number) { (void)number; }

/* ── fcntl ── */

CASE("flock/and-fcntl-do-not-see-each-other") {
  int fd = file_of(10);
  OK(flock(fd, LOCK_EX));
  CHILD { OK(lock(open_or_fail("file", O_RDWR), F_SETLK, F_WRLCK, 0, 0)); }
}

CASE("fcntl/read-locks-share-and-write-locks-exclude") {
  int fd = file_of(100);
  OK(lock(fd, F_SETLK, F_RDLCK, 0, 10));
  CHILD {
    int own = open_or_fail("file", O_RDWR);
    OK(lock(own, F_SETLK, F_RDLCK, 0, 10));
    ERR2(EAGAIN, EACCES, lock(own, F_SETLK, F_WRLCK, 5, 1));
    OK(lock(own, F_SETLK, F_WRLCK, 10, 10));
  }
}

CASE("fcntl/own-locks-never-conflict") {
  int fd = file_of(100), other = open_or_fail("file", O_RDWR);
  OK(lock(fd, F_SETLK, F_WRLCK, 0, 10));
  OK(lock(other, F_SETLK, F_WRLCK, 0, 10));
  EQ(ask(fd, F_GETLK, F_WRLCK, 0, 10).l_type, F_UNLCK);
}

CASE("fcntl/getlk-names-owner-type-and-range") {
  int fd = file_of(100);
  OK(lock(fd, F_SETLK, F_WRLCK, 20, 30));
  expect_range(F_WRLCK, 0, 0, 20, 30);
  OK(lock(fd, F_SETLK, F_RDLCK, 20, 30));
  expect_range(F_RDLCK, 25, 1, 20, 30);
  expect_seen(F_UNLCK, 0, 20);
  expect_seen(F_UNLCK, 50, 0);
}

CASE("fcntl/unlock-in-the-middle-splits") {
  int fd = file_of(100);
  OK(lock(fd, F_SETLK, F_WRLCK, 0, 100));
  OK(lock(fd, F_SETLK, F_UNLCK, 40, 20));
  expect_range(F_WRLCK, 0, 50, 0, 40);
  expect_seen(F_UNLCK, 40, 20);
  expect_range(F_WRLCK, 50, 50, 60, 40);
}

CASE("fcntl/other-type-in-the-middle-splits-in-three") {
  int fd = file_of(100);
  OK(lock(fd, F_SETLK, F_WRLCK, 0, 100));
  OK(lock(fd, F_SETLK, F_RDLCK, 40, 20));
  expect_range(F_WRLCK, 0, 1, 0, 40);
  expect_range(F_RDLCK, 45, 1, 40, 20);
  expect_range(F_WRLCK, 99, 1, 60, 40);
}

CASE("fcntl/neighbours-of-one-type-merge") {
  int fd = file_of(100);
  OK(lock(fd, F_SETLK, F_WRLCK, 0, 10));
  OK(lock(fd, F_SETLK, F_WRLCK, 20, 10));
  OK(lock(fd, F_SETLK, F_WRLCK, 10, 10));
  expect_range(F_WRLCK, 0, 1, 0, 30);
}

CASE("fcntl/overlapping-of-one-type-merge") {
  int fd = file_of(100);
  OK(lock(fd, F_SETLK, F_RDLCK, 0, 15));
  OK(lock(fd, F_SETLK, F_RDLCK, 10, 20));
  expect_range(F_RDLCK, 29, 1, 0, 30);
}

CASE("fcntl/new-type-over-several-replaces-them") {
  int fd = file_of(100);
  for (int i = 0; i < 5; i++) OK(lock(fd, F_SETLK, F_RDLCK, i * 20, 10));
  OK(lock(fd, F_SETLK, F_WRLCK, 5, 80));
  expect_range(F_RDLCK, 0, 1, 0, 5);
  expect_range(F_WRLCK, 50, 1, 5, 80);
  expect_range(F_RDLCK, 85, 10, 85, 5);
}

CASE("fcntl/unlock-over-several-and-gaps") {
  int fd = file_of(100);
  for (int i = 0; i < 5; i++) OK(lock(fd, F_SETLK, F_WRLCK, i * 20, 10));
  OK(lock(fd, F_SETLK, F_UNLCK, 5, 80));
  expect_range(F_WRLCK, 0, 20, 0, 5);
  expect_range(F_WRLCK, 20, 0, 85, 5);
}

CASE("fcntl/length-zero-reaches-to-infinity") {
  int fd = file_of(0);
  OK(lock(fd, F_SETLK, F_WRLCK, 10, 0));
  expect_range(F_WRLCK, 1LL << 50, 1, 10, 0);
  expect_seen(F_UNLCK, 0, 10);
  OK(lock(fd, F_SETLK, F_UNLCK, 100, 0));
  expect_range(F_WRLCK, 0, 0, 10, 90);
}

CASE("fcntl/negative-length-and-other-whences") {
  int fd = file_of(100);
  OK(lock(fd, F_SETLK, F_WRLCK, 50, -10));
  expect_range(F_WRLCK, 0, 0, 40, 10);
  OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
  struct flock request = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -10, .l_len = 5};
  OK(fcntl(fd, F_SETLK, &request));
  expect_range(F_WRLCK, 0, 0, 90, 5);
  OK(lseek(fd, 30, SEEK_SET));
  request = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_CUR, .l_start = 1, .l_len = 2};
  OK(fcntl(fd, F_SETLK, &request));
  expect_range(F_RDLCK, 0, 50, 31, 2);
}

CASE("fcntl/released-by-closing-any-descriptor-of-the-file") {
  int fd = file_of(100), other = open_or_fail("file", O_RDONLY);
  OK(lock(fd, F_SETLK, F_WRLCK, 0, 10));
  expect_seen(F_WRLCK, 0, 10);
  OK(close(other));
  expect_seen(F_UNLCK, 0, 10);
}

CASE("fcntl/released-on-exit") {
  file_of(100);
  CHILD { OK(lock(open_or_fail("file", O_RDWR), F_SETLK, F_WRLCK, 0, 0)); }
  expect_seen(F_UNLCK, 0, 0);
}

CASE("fcntl/released-when-killed-and-the-waiter-goes-on") {
  file_of(100);
  pid_t child = fork_child();
  if (child == 0) {
    OK(lock(open_or_fail("file", O_RDWR), F_SETLK, F_WRLCK, 0, 0));
    for (;;) pause();
  }
  wait_until_asleep(child);
  pid_t waiter = fork_child();
  if (waiter == 0) {
    OK(lock(open_or_fail("file", O_RDWR), F_SETLKW, F_WRLCK, 5, 1));
    leave_child();
  }
  wait_until_asleep(waiter);
  OK(kill(child, SIGKILL));
  EQ(OK(waitpid(child, NULL, 0)), child);
  join_child(waiter);
}

CASE("fcntl/not-inherited-by-a-child") {
  int fd = file_of(100);
  OK(lock(fd, F_SETLK, F_WRLCK, 0, 10));
  CHILD { ERR2(EAGAIN, EACCES, lock(fd, F_SETLK, F_WRLCK, 0, 10)); }
}

CASE("fcntl/kept-over-exec") {
  int fd = file_of(100);
  int ends[2];
  OK(pipe(ends));
  pid_t child = fork_child();
  if (child == 0) {
    OK(lock(fd, F_SETLK, F_WRLCK, 0, 10));
    OK(dup2(ends[0], 0));
    OK(close(ends[1]));
    OK(execl("/bin/cat", "cat", NULL));
  }
  OK(close(ends[0]));
  sleep_ms(100);
  struct flock found = ask(fd, F_GETLK, F_WRLCK, 0, 10);
  EQ(found.l_type, F_WRLCK);
  EQ(found.l_pid, child);
  OK(close(ends[1]));
  EQ(OK(waitpid(child, NULL, 0)), child);
}

CASE("fcntl/waits-until-it-is-free") {
  int fd = file_of(100);
  OK(lock(fd, F_SETLK, F_WRLCK, 0, 10));
  pid_t child = fork_child();
  if (child == 0) {
    int own = open_or_fail("file", O_RDWR);
    OK(lock(own, F_SETLKW, F_WRLCK, 5, 10));
    OK(ftruncate(own, 200));
    leave_child();
  }
  wait_until_asleep(child);
  EQ(size_of("file"), 100);
  OK(lock(fd, F_SETLK, F_UNLCK, 0, 5)); /* not enough */
  sleep_ms(30);
  EQ(size_of("file"), 100);
  OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
  join_child(child);
  EQ(size_of("file"), 200);
}

CASE("fcntl/waiting-is-interrupted-by-a-signal") {
  int fd = file_of(100);
  OK(lock(fd, F_SETLK, F_WRLCK, 0, 10));
  pid_t child = fork_child();
  if (child == 0) {
    struct sigaction action = {.sa_handler = on_signal};
    OK(sigaction(SIGUSR1, &action, NULL));
    int own = open_or_fail("file", O_RDWR);
    ERR(EINTR, lock(own, F_SETLKW, F_WRLCK, 0, 10));
    leave_child();
  }
  wait_until_asleep(child);
  OK(kill(child, SIGUSR1));
  join_child(child);
  /* The interrupted request must not be granted later. */
  OK(lock(fd, F_SETLK, F_UNLCK, 0, 10));
  expect_seen(F_UNLCK, 0, 0);
}

CASE("fcntl/waiting-is-interrupted-by-an-alarm-again-and-again") {
  int fd = file_of(100);
  OK(lock(fd, F_SETLK, F_WRLCK, 0, 10));
  CHILD {
    struct sigaction action = {.sa_handler = on_signal};
    OK(sigaction(SIGALRM, &action, NULL));
    int own = open_or_fail("file", O_RDWR);
    for (int i = 0; i < 5; i++) {
      struct { long is, iu, vs, vu; } timer = {0, 0, 0, 20000};
      OK(syscall(SYS_setitimer, 0, &timer, NULL));
      ERR(EINTR, lock(own, F_SETLKW, F_WRLCK, 0, 10));
    }
  }
}

CASE("fcntl/waiting-reader-goes-on-when-the-writer-turns-to-reading") {
  int fd = file_of(100);
  OK(lock(fd, F_SETLK, F_WRLCK, 0, 10));
  pid_t child = fork_child();
  if (child == 0) {
    OK(lock(open_or_fail("file", O_RDWR), F_SETLKW, F_RDLCK, 0, 10));
    leave_child();
  }
  wait_until_asleep(child);
  OK(lock(fd, F_SETLK, F_RDLCK, 0, 10));
  join_child(child);
}

CASE("fcntl/deadlock-of-two-is-found") {
  int fd = file_of(100);
  OK(lock(fd, F_SETLK, F_WRLCK, 0, 10));
  pid_t child = fork_child();
  if (child == 0) {
    int own = open_or_fail("file", O_RDWR);
    OK(lock(own, F_SETLK, F_WRLCK, 10, 10));
    OK(lock(own, F_SETLKW, F_WRLCK, 0, 10));
    leave_child();
  }
  wait_until_asleep(child);
  ERR(EDEADLK, lock(fd, F_SETLKW, F_WRLCK, 10, 10));
  OK(lock(fd, F_SETLK, F_UNLCK, 0, 10));
  join_child(child);
}

CASE("fcntl/deadlock-of-three-over-two-files-is-found") {
  int fd = file_of(100), second = open_or_fail("second", O_CREAT | O_RDWR);
  OK(lock(fd, F_SETLK, F_WRLCK, 0, 1));
  pid_t one = fork_child();
  if (one == 0) {
    int own = open_or_fail("file", O_RDWR), other = open_or_fail("second", O_RDWR);
    OK(lock(other, F_SETLK, F_WRLCK, 0, 1));
    OK(lock(own, F_SETLKW, F_WRLCK, 0, 1)); /* waits for us */
    leave_child();
  }
  wait_until_asleep(one);
  pid_t two = fork_child();
  if (two == 0) {
    int own = open_or_fail("file", O_RDWR), other = open_or_fail("second", O_RDWR);
    OK(lock(own, F_SETLK, F_WRLCK, 5, 1));
    OK(lock(other, F_SETLKW, F_WRLCK, 0, 1)); /* waits for one */
    leave_child();
  }
  wait_until_asleep(two);
  ERR(EDEADLK, lock(fd, F_SETLKW, F_WRLCK, 5, 1)); /* would wait for two */
  OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
  join_child(one);
  join_child(two);
  OK(close(second));
}

CASE("fcntl/errors") {
  int fd = file_of(100);
  ERR(EINVAL, lock(fd, F_SETLK, 77, 0, 1));
  ERR(EINVAL, lock(fd, F_SETLK, F_WRLCK, -5, 1));
  ERR(EINVAL, lock(fd, F_SETLK, F_WRLCK, 5, -10));
  ERR(EBADF, lock(open_or_fail("file", O_RDONLY), F_SETLK, F_WRLCK, 0, 1));
  ERR(EBADF, lock(open_or_fail("file", O_WRONLY), F_SETLK, F_RDLCK, 0, 1));
  ERR(EFAULT, fcntl(fd, F_SETLK, bad_pointer()));
  ERR2(EOVERFLOW, EINVAL, lock(fd, F_SETLK, F_WRLCK, LLONG_MAX, 10));
  OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
}

CASE("fcntl/beyond-the-end-of-the-file") {
  int fd = file_of(0);
  OK(lock(fd, F_SETLK, F_WRLCK, 1LL << 40, 10));
  expect_range(F_WRLCK, 0, 0, 1LL << 40, 10);
  OK(lock(fd, F_SETLK, F_WRLCK, LLONG_MAX, 1));
  expect_seen(F_WRLCK, LLONG_MAX, 1);
}

CASE("fcntl/a-thousand-ranges") {
  int fd = file_of(10000);
  for (int i = 0; i < 1000; i++) OK(lock(fd, F_SETLK, i % 2 ? F_RDLCK : F_WRLCK, i * 10, 5));
  expect_range(F_RDLCK, 5005, 100, 5010, 5);
  OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
  expect_seen(F_UNLCK, 0, 0);
}

CASE("fcntl/lockf-counts-under-contention") {
  int fd = file_of(sizeof(int));
  pid_t children[4];
  for (int c = 0; c < 4; c++)
    if ((children[c] = fork_child()) == 0) {
      int own = open_or_fail("file", O_RDWR), value;
      for (int i = 0; i < 50; i++) {
        OK(lockf(own, F_LOCK, 0));
        EQ(OK(pread(own, &value, sizeof value, 0)), (long)sizeof value);
        value++;
        EQ(OK(pwrite(own, &value, sizeof value, 0)), (long)sizeof value);
        OK(lockf(own, F_ULOCK, 0));
      }
      leave_child();
    }
  for (int c = 0; c < 4; c++) join_child(children[c]);
  int total;
  EQ(OK(pread(fd, &total, sizeof total, 0)), (long)sizeof total);
  EQ(total, 200);
}

/* ── open file description locks ── */

CASE("ofd/belongs-to-the-open-file") {
  int one = file_of(100), two = open_or_fail("file", O_RDWR), copy = OK(dup(one));
  OK(lock(one, F_OFD_SETLK, F_WRLCK, 0, 10));
  ERR2(EAGAIN, EACCES, lock(two, F_OFD_SETLK, F_WRLCK, 5, 1));
  OK(lock(copy, F_OFD_SETLK, F_WRLCK, 0, 10));
  OK(close(open_or_fail("file", O_RDONLY)));
  ERR2(EAGAIN, EACCES, lock(two, F_OFD_SETLK, F_WRLCK, 5, 1));
  OK(close(one));
  ERR2(EAGAIN, EACCES, lock(two, F_OFD_SETLK, F_WRLCK, 5, 1));
  OK(close(copy));
  OK(lock(two, F_OFD_SETLK, F_WRLCK, 5, 1));
}

CASE("ofd/is-shared-with-a-forked-child") {
  int fd = file_of(100);
  OK(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
  CHILD { OK(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 10)); }
}

CASE("ofd/getlk-gives-pid-minus-one") {
  int one = file_of(100), two = open_or_fail("file", O_RDWR);
  OK(lock(one, F_OFD_SETLK, F_RDLCK, 10, 20));
  struct flock found = ask(two, F_OFD_GETLK, F_WRLCK, 0, 0);
  EQ(found.l_type, F_RDLCK);
  EQ(found.l_start, 10);
  EQ(found.l_len, 20);
  EQ(found.l_pid, -1);
}

CASE("ofd/and-posix-locks-conflict") {
  int one = file_of(100), two = open_or_fail("file", O_RDWR);
  OK(lock(one, F_OFD_SETLK, F_WRLCK, 0, 10));
  ERR2(EAGAIN, EACCES, lock(two, F_SETLK, F_WRLCK, 0, 10));
  EQ(ask(two, F_GETLK, F_WRLCK, 0, 10).l_pid, -1);
  OK(lock(two, F_SETLK, F_WRLCK, 50, 10));
  ERR2(EAGAIN, EACCES, lock(one, F_OFD_SETLK, F_RDLCK, 55, 1));
}

CASE("ofd/waits-and-is-interrupted") {
  int fd = file_of(100);
  OK(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
  pid_t child = fork_child();
  if (child == 0) {
    struct sigaction action = {.sa_handler = on_signal};
    OK(sigaction(SIGUSR1, &action, NULL));
    int own = open_or_fail("file", O_RDWR);
    ERR(EINTR, lock(own, F_OFD_SETLKW, F_WRLCK, 0, 10));
    OK(lock(own, F_OFD_SETLKW, F_WRLCK, 0, 10));
    leave_child();
  }
  wait_until_asleep(child);
  OK(kill(child, SIGUSR1));
  sleep_ms(50);
  wait_until_asleep(child);
  OK(lock(fd, F_OFD_SETLK, F_UNLCK, 0, 0));
  join_child(child);
}

CASE("ofd/splits-and-merges") {
  int one = file_of(100), two = open_or_fail("file", O_RDWR);
  OK(lock(one, F_OFD_SETLK, F_WRLCK, 0, 100));
  OK(lock(one, F_OFD_SETLK, F_UNLCK, 40, 20));
  OK(lock(two, F_OFD_SETLK, F_WRLCK, 40, 20));
  struct flock found = ask(two, F_OFD_GETLK, F_WRLCK, 0, 0);
  EQ(found.l_start, 0);
  EQ(found.l_len, 40);
}

CASE("ofd/pid-must-be-zero") {
  int fd = file_of(100);
  struct flock request = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1, .l_pid = 5};
  ERR(EINVAL, fcntl(fd, F_OFD_SETLK, &request));
}
