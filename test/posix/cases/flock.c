/*
 * flock(2): whole-file locks that belong to the open file; blocking, interruption, release.
 */
#include "harness.h"

static int file_of(size_t size) {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  OK(ftruncate(fd, size));
  return fd;
}

static void on_signal(int number) { (void)number; }

CASE("flock/shared-and-exclusive") {
  int one = file_of(0), two = open_or_fail("file", O_RDONLY);
  OK(flock(one, LOCK_SH | LOCK_NB));
  OK(flock(two, LOCK_SH | LOCK_NB));
  ERR(EWOULDBLOCK, flock(one, LOCK_EX | LOCK_NB));
  OK(flock(two, LOCK_UN));
  OK(flock(one, LOCK_EX | LOCK_NB));
  ERR(EWOULDBLOCK, flock(two, LOCK_SH | LOCK_NB));
}

CASE("flock/belongs-to-the-open-file-so-dup-and-fork-share-it") {
  int fd = file_of(0), copy = OK(dup(fd));
  OK(flock(fd, LOCK_EX | LOCK_NB));
  OK(flock(copy, LOCK_EX | LOCK_NB));
  CHILD {
    OK(flock(fd, LOCK_EX | LOCK_NB));
    ERR(EWOULDBLOCK, flock(open_or_fail("file", O_RDWR), LOCK_EX | LOCK_NB));
  }
  OK(close(fd));
  CHILD { ERR(EWOULDBLOCK, flock(open_or_fail("file", O_RDWR), LOCK_EX | LOCK_NB)); }
  OK(flock(copy, LOCK_UN));
  CHILD { OK(flock(open_or_fail("file", O_RDWR), LOCK_EX | LOCK_NB)); }
}

CASE("flock/released-by-the-last-close") {
  int fd = file_of(0);
  OK(flock(fd, LOCK_EX));
  OK(close(fd));
  OK(flock(open_or_fail("file", O_RDWR), LOCK_EX | LOCK_NB));
}

CASE("flock/released-when-the-process-is-killed") {
  file_of(0);
  pid_t child = fork_child();
  if (child == 0) {
    OK(flock(open_or_fail("file", O_RDWR), LOCK_EX));
    for (;;) pause();
  }
  wait_until_asleep(child);
  int fd = open_or_fail("file", O_RDWR);
  ERR(EWOULDBLOCK, flock(fd, LOCK_SH | LOCK_NB));
  OK(kill(child, SIGKILL));
  EQ(OK(waitpid(child, NULL, 0)), child);
  OK(flock(fd, LOCK_EX));
}

CASE("flock/waits-until-it-is-free") {
  int fd = file_of(0);
  OK(flock(fd, LOCK_EX));
  pid_t child = fork_child();
  if (child == 0) {
    OK(close(fd));
    int own = open_or_fail("file", O_RDWR);
    OK(flock(own, LOCK_EX));
    EQ(OK(write(own, "x", 1)), 1);
    leave_child();
  }
  wait_until_asleep(child);
  EQ(size_of("file"), 0);
  OK(flock(fd, LOCK_UN));
  join_child(child);
  EQ(size_of("file"), 1);
}

CASE("flock/waiting-is-interrupted-by-a-signal") {
  int fd = file_of(0);
  OK(flock(fd, LOCK_EX));
  pid_t child = fork_child();
  if (child == 0) {
    struct sigaction action = {.sa_handler = on_signal};
    OK(sigaction(SIGUSR1, &action, NULL));
    OK(close(fd));
    ERR(EINTR, flock(open_or_fail("file", O_RDWR), LOCK_EX));
    leave_child();
  }
  wait_until_asleep(child);
  OK(kill(child, SIGUSR1));
  join_child(child);
}

CASE("flock/waiting-process-can-be-killed") {
  int fd = file_of(0);
  OK(flock(fd, LOCK_EX));
  pid_t child = fork_child();
  if (child == 0) {
    OK(close(fd));
    OK(flock(open_or_fail("file", O_RDWR), LOCK_EX));
    leave_child();
  }
  wait_until_asleep(child);
  OK(kill(child, SIGKILL));
  EQ(OK(waitpid(child, NULL, 0)), child);
  OK(flock(fd, LOCK_UN));
  OK(flock(open_or_fail("file", O_RDWR), LOCK_EX | LOCK_NB));
}

CASE("flock/many-waiters-each-get-it-once") {
  int fd = file_of(0);
  OK(flock(fd, LOCK_EX));
  pid_t children[6];
  for (int c = 0; c < 6; c++)
    if ((children[c] = fork_child()) == 0) {
      OK(close(fd));
      int own = open_or_fail("file", O_RDWR);
      for (int i = 0; i < 20; i++) {
        OK(flock(own, LOCK_EX));
        int value = 0;
        OK(pread(own, &value, sizeof value, 0));
        value++;
        EQ(OK(pwrite(own, &value, sizeof value, 0)), (long)sizeof value);
        OK(flock(own, LOCK_UN));
      }
      leave_child();
    }
  OK(flock(fd, LOCK_UN));
  for (int c = 0; c < 6; c++) join_child(children[c]);
  int total;
  EQ(OK(pread(fd, &total, sizeof total, 0)), (long)sizeof total);
  EQ(total, 120);
}

CASE("flock/on-a-read-only-descriptor-and-on-a-directory") {
  file_of(0);
  OK(flock(open_or_fail("file", O_RDONLY), LOCK_EX | LOCK_NB));
  make_dir("d", 0755);
  int dir = open_or_fail("d", O_RDONLY);
  OK(flock(dir, LOCK_EX | LOCK_NB));
  ERR(EWOULDBLOCK, flock(open_or_fail("d", O_RDONLY), LOCK_SH | LOCK_NB));
}

CASE("flock/errors") {
  int fd = file_of(0);
  ERR(EINVAL, flock(fd, 77));
  ERR(EBADF, flock(9999, LOCK_EX));
  OK(flock(fd, LOCK_UN));
}

CASE("flock/of-a-file-without-a-name") {
  int fd = file_of(0), other = open_or_fail("file", O_RDWR);
  OK(flock(fd, LOCK_EX));
  OK(unlink("file"));
  ERR(EWOULDBLOCK, flock(other, LOCK_EX | LOCK_NB));
  OK(flock(fd, LOCK_UN));
  OK(flock(other, LOCK_EX | LOCK_NB));
}
