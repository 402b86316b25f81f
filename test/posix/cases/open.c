/*
 * open(2): which flags do what on which type of file, and the permissions they ask for.
 */
#include "harness.h"

CASE("open/creat-makes-an-empty-file") {
  umask(022);
  int fd = OK(open("file", O_CREAT | O_RDWR, 0666));
  struct stat found;
  OK(fstat(fd, &found));
  TRUE(S_ISREG(found.st_mode));
  EQ(found.st_mode & 07777, 0644);
  EQ(found.st_size, 0);
  EQ(found.st_nlink, 1);
  EQ(found.st_uid, 0);
}

CASE("open/creat-leaves-an-existing-file-and-its-mode") {
  make_text("file", "bytes");
  OK(chmod("file", 0604));
  OK(close(OK(open("file", O_CREAT | O_RDWR, 0777))));
  check_text("file", "bytes");
  EQ(mode_of("file"), 0604);
}

CASE("open/creat-takes-the-ids-of-the-caller") {
  make_dir("d", 0777);
  AS(ALICE, STAFF) {
    make_file("d/file", 0644);
    EQ(stat_of("d/file").st_uid, ALICE);
    EQ(stat_of("d/file").st_gid, STAFF);
  }
}

CASE("open/creat-with-all-mode-bits") {
  int fd = OK(open("file", O_CREAT | O_RDWR, 07777));
  struct stat found;
  OK(fstat(fd, &found));
  EQ(found.st_mode & 07777, 07777);
}

CASE("open/creat-read-only-mode-gives-a-writable-descriptor") {
  make_dir_of("d", ALICE, ALICE, 0755);
  AS(ALICE, ALICE) {
    int fd = OK(open("d/file", O_CREAT | O_RDWR, 0));
    EQ(OK(write(fd, "abc", 3)), 3);
    check_range(fd, 0, "abc", 3);
    ERR(EACCES, open("d/file", O_RDONLY));
  }
}

CASE("open/excl-on-existing") {
  make_file("file", 0644);
  make_dir("d", 0755);
  OK(symlink("absent", "dangling"));
  OK(mkfifo("fifo", 0644));
  ERR(EEXIST, open("file", O_CREAT | O_EXCL | O_RDWR, 0644));
  ERR(EEXIST, open("d", O_CREAT | O_EXCL | O_RDWR, 0644));
  ERR(EEXIST, open("dangling", O_CREAT | O_EXCL | O_RDWR, 0644));
  ERR(EEXIST, open("fifo", O_CREAT | O_EXCL | O_RDWR, 0644));
  TRUE(!exists("absent"));
}

CASE("open/creat-through-a-dangling-symlink-makes-its-target") {
  OK(symlink("target", "link"));
  OK(close(OK(open("link", O_CREAT | O_RDWR, 0644))));
  TRUE(S_ISREG(stat_of("target").st_mode));
}

CASE("open/nofollow-on-a-symlink") {
  make_file("file", 0644);
  OK(symlink("file", "link"));
  ERR(ELOOP, open("link", O_RDONLY | O_NOFOLLOW));
  int fd = OK(open("link", O_PATH | O_NOFOLLOW));
  struct stat found;
  OK(fstat(fd, &found));
  TRUE(S_ISLNK(found.st_mode));
}

CASE("open/directory-flag") {
  make_file("file", 0644);
  make_dir("d", 0755);
  OK(symlink("d", "link"));
  ERR(ENOTDIR, open("file", O_RDONLY | O_DIRECTORY));
  OK(open("d", O_RDONLY | O_DIRECTORY));
  OK(open("link", O_RDONLY | O_DIRECTORY));
  ERR2(ENOTDIR, ELOOP, open("link", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

CASE("open/directory-for-writing") {
  make_dir("d", 0755);
  ERR(EISDIR, open("d", O_WRONLY));
  ERR(EISDIR, open("d", O_RDWR));
  ERR(EISDIR, open("d", O_RDONLY | O_CREAT, 0644));
  ERR(EISDIR, open("d", O_RDONLY | O_TRUNC));
}

CASE("open/directory-cannot-be-read-or-written-as-a-file") {
  make_dir("d", 0755);
  int fd = open_or_fail("d", O_RDONLY);
  char byte;
  ERR(EISDIR, read(fd, &byte, 1));
  ERR(EBADF, write(fd, "x", 1));
  ERR2(EINVAL, EBADF, ftruncate(fd, 0));
}

CASE("open/trunc-empties-the-file-and-frees-its-bytes") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  write_pattern(fd, 0, 300000, 1);
  int other = open_or_fail("file", O_WRONLY | O_TRUNC);
  EQ(size_of("file"), 0);
  char byte;
  EQ(pread(fd, &byte, 1, 0), 0);
  OK(ftruncate(other, 300000));
  check_zeros(fd, 0, 300000);
}

CASE("open/trunc-clears-set-id-bits-of-another-users-file") {
  make_dir("d", 0777);
  make_file_of("d/file", BOB, BOB, 06777);
  AS(ALICE, ALICE) {
    OK(open("d/file", O_WRONLY | O_TRUNC));
    EQ(mode_of("d/file") & 06000, 0);
  }
}

CASE("open/access-modes-are-kept") {
  make_text("file", "abc");
  char byte;
  int reading = open_or_fail("file", O_RDONLY), writing = open_or_fail("file", O_WRONLY);
  ERR(EBADF, write(reading, "x", 1));
  ERR(EBADF, read(writing, &byte, 1));
  ERR2(EINVAL, EBADF, ftruncate(reading, 0));
  EQ(fcntl(reading, F_GETFL) & O_ACCMODE, O_RDONLY);
  EQ(fcntl(writing, F_GETFL) & O_ACCMODE, O_WRONLY);
}

CASE("open/permission-of-owner-group-and-others") {
  make_dir("d", 0755);
  make_file_of("d/owner", ALICE, STAFF, 0400);
  make_file_of("d/group", BOB, STAFF, 0040);
  make_file_of("d/other", BOB, CREW, 0004);
  make_file_of("d/denied", ALICE, STAFF, 0077);
  make_file_of("d/groupless", BOB, STAFF, 0707);
  AS(ALICE, STAFF) {
    OK(open("d/owner", O_RDONLY));
    ERR(EACCES, open("d/owner", O_WRONLY));
    ERR(EACCES, open("d/owner", O_RDWR));
    OK(open("d/group", O_RDONLY));
    ERR(EACCES, open("d/group", O_WRONLY));
    OK(open("d/other", O_RDONLY));
    ERR(EACCES, open("d/other", O_WRONLY));
    ERR(EACCES, open("d/denied", O_RDONLY));
    ERR(EACCES, open("d/groupless", O_RDONLY));
  }
}

CASE("open/root-passes-all-modes") {
  make_file_of("file", ALICE, ALICE, 0);
  OK(open("file", O_RDWR));
  make_dir_of("d", ALICE, ALICE, 0);
  make_file("d/inside", 0);
  OK(open("d/inside", O_RDWR));
}

CASE("open/creat-needs-write-and-search-permission-on-the-directory") {
  make_dir_of("ro", ALICE, ALICE, 0555);
  make_dir_of("wo", ALICE, ALICE, 0666);
  AS(ALICE, ALICE) {
    ERR(EACCES, open("ro/file", O_CREAT | O_RDWR, 0644));
    ERR(EACCES, open("wo/file", O_CREAT | O_RDWR, 0644));
  }
}

CASE("open/trunc-needs-write-permission") {
  make_file_of("file", BOB, BOB, 0444);
  AS(ALICE, ALICE) { ERR(EACCES, open("file", O_RDONLY | O_TRUNC)); }
}

CASE("open/noatime-is-for-the-owner") {
  make_file_of("file", BOB, BOB, 0644);
  AS(ALICE, ALICE) { ERR(EPERM, open("file", O_RDONLY | O_NOATIME)); }
  AS(BOB, BOB) { OK(open("file", O_RDONLY | O_NOATIME)); }
}

CASE("open/path-descriptor-reads-nothing-but-names-the-file") {
  make_text("file", "abc");
  OK(chmod("file", 0));
  make_dir("d", 0777);
  AS(ALICE, ALICE) {
    int fd = OK(open("file", O_PATH));
    char byte;
    ERR(EBADF, read(fd, &byte, 1));
    ERR(EBADF, fchmod(fd, 0644));
    struct stat found;
    OK(fstat(fd, &found));
    EQ(found.st_size, 3);
  }
}

CASE("open/fifo-without-a-reader") {
  OK(mkfifo("fifo", 0644));
  ERR(ENXIO, open("fifo", O_WRONLY | O_NONBLOCK));
  int reading = open_or_fail("fifo", O_RDONLY | O_NONBLOCK), writing = open_or_fail("fifo", O_WRONLY | O_NONBLOCK);
  EQ(OK(write(writing, "hello", 5)), 5);
  char text[8];
  EQ(OK(read(reading, text, sizeof text)), 5);
}

CASE("open/fifo-blocks-until-the-other-end") {
  OK(mkfifo("fifo", 0644));
  pid_t child = fork_child();
  if (child == 0) {
    int fd = open_or_fail("fifo", O_WRONLY);
    EQ(OK(write(fd, "x", 1)), 1);
    leave_child();
  }
  wait_until_asleep(child);
  int fd = open_or_fail("fifo", O_RDONLY);
  char byte;
  EQ(OK(read(fd, &byte, 1)), 1);
  join_child(child);
}

CASE("open/socket-cannot-be-opened") {
  make_socket("socket");
  ERR(ENXIO, open("socket", O_RDONLY));
  ERR(ENXIO, open("socket", O_RDWR));
}

CASE("open/socket-can-be-connected-by-its-name") {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  int server = OK(socket(AF_UNIX, SOCK_STREAM, 0)), client = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(bind(server, (struct sockaddr *)&address, sizeof address));
  ERR(EADDRINUSE, bind(client, (struct sockaddr *)&address, sizeof address));
  OK(listen(server, 1));
  OK(connect(client, (struct sockaddr *)&address, sizeof address));
  OK(unlink("socket"));
  int again = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  ERR(ENOENT, connect(again, (struct sockaddr *)&address, sizeof address));
}

CASE("open/device-node-opens-its-device") {
  OK(mknod("null", S_IFCHR | 0666, makedev(1, 3)));
  int fd = open("null", O_RDWR);
  if (fd < 0 && errno == EACCES) skip("the mount is nodev");
  OK(fd);
  EQ(OK(write(fd, "abc", 3)), 3);
  char byte;
  EQ(OK(read(fd, &byte, 1)), 0);
}

CASE("open/running-program-cannot-be-written") {
  int source = open_or_fail("/bin/sleep", O_RDONLY), target = open_or_fail("program", O_CREAT | O_WRONLY);
  static char buffer[1 << 16];
  for (ssize_t got; (got = OK(read(source, buffer, sizeof buffer))) > 0;) EQ(OK(write(target, buffer, got)), got);
  OK(fchmod(target, 0755));
  OK(close(target));
  pid_t child = fork_child();
  if (child == 0) {
    /* The parent may have it open for writing just now. */
    do execl("./program", "program", "10", NULL);
    while (errno == ETXTBSY);
    _exit(1);
  }
  int refused = 0;
  for (int attempt = 0; attempt < 200 && !refused; attempt++) {
    sleep_ms(5);
    int fd = open("program", O_WRONLY);
    refused = fd < 0 && errno == ETXTBSY;
    if (fd >= 0) OK(close(fd));
  }
  OK(kill(child, SIGKILL));
  EQ(OK(waitpid(child, NULL, 0)), child);
  TRUE(refused);
}

CASE("open/program-needs-execute-permission") {
  make_text("script", "#!/bin/sh\nexit 0\n");
  OK(chmod("script", 0644));
  char *const none[] = {NULL};
  ERR(EACCES, execve("./script", none, none));
  OK(chmod("script", 0755));
  CHILD {
    char *const args[] = {"script", NULL};
    OK(execve("./script", args, none));
  }
}

CASE("open/many-descriptors-of-one-file") {
  make_text("file", "abc");
  for (int i = 0; i < 2000; i++) OK(open("file", i % 2 ? O_RDONLY : O_RDWR));
  OK(unlink("file"));
}

CASE("open/many-files-at-once") {
  for (int i = 0; i < 1000; i++) {
    int fd = OK(open(format_text("%d", i), O_CREAT | O_RDWR, 0644));
    EQ(OK(write(fd, &i, sizeof i)), (long)sizeof i);
  }
  for (int i = 0; i < 1000; i++) {
    int fd = open_or_fail(format_text("%d", i), O_RDONLY);
    check_range(fd, 0, &i, sizeof i);
  }
}

CASE("open/offset-is-shared-by-dup-and-fork-not-by-open") {
  make_text("file", "abcdef");
  int fd = open_or_fail("file", O_RDONLY), other = open_or_fail("file", O_RDONLY), copy = OK(dup(fd));
  char text[2];
  EQ(OK(read(fd, text, 2)), 2);
  EQ(OK(lseek(copy, 0, SEEK_CUR)), 2);
  EQ(OK(lseek(other, 0, SEEK_CUR)), 0);
  CHILD { EQ(OK(read(fd, text, 2)), 2); }
  EQ(OK(lseek(fd, 0, SEEK_CUR)), 4);
}

CASE("open/cloexec") {
  make_file("file", 0644);
  EQ(OK(fcntl(open_or_fail("file", O_RDONLY | O_CLOEXEC), F_GETFD)), FD_CLOEXEC);
  EQ(OK(fcntl(open_or_fail("file", O_RDONLY), F_GETFD)), 0);
}

CASE("open/race-of-exclusive-creators-has-one-winner") {
  pid_t children[8];
  for (int i = 0; i < 8; i++) {
    children[i] = fork_child();
    if (children[i] > 0) continue;
    for (int name = 0; name < 50; name++) {
      int fd = open(format_text("f%d", name), O_CREAT | O_EXCL | O_WRONLY, 0644);
      if (fd < 0) {
        EQ(errno, EEXIST);
        continue;
      }
      OK(close(fd));
      OK(close(OK(open(format_text("won-%d-%d", name, i), O_CREAT | O_WRONLY, 0644))));
    }
    leave_child();
  }
  for (int i = 0; i < 8; i++) join_child(children[i]);
  for (int name = 0; name < 50; name++) {
    int winners = 0;
    for (int i = 0; i < 8; i++) winners += exists(format_text("won-%d-%d", name, i));
    EQ(winners, 1);
  }
}
