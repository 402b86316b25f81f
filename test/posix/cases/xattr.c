/*
 * Extended attributes: sizes, flags, lists, namespaces and who may use them; xattr(7) is the source.
 */
#include "harness.h"

CASE("xattr/set-get-list-remove") {
  make_file("file", 0644);
  OK(setxattr("file", "user.one", "1", 1, 0));
  OK(setxattr("file", "user.two", "22", 2, 0));
  char value[16], list[256];
  EQ(OK(getxattr("file", "user.two", value, sizeof value)), 2);
  TRUE(!memcmp(value, "22", 2));
  ssize_t size = OK(listxattr("file", list, sizeof list));
  TRUE(memmem(list, size, "user.one", 9) && memmem(list, size, "user.two", 9));
  OK(removexattr("file", "user.one"));
  ERR(ENODATA, getxattr("file", "user.one", value, sizeof value));
  size = OK(listxattr("file", list, sizeof list));
  TRUE(!memmem(list, size, "user.one", 9));
  ERR(ENODATA, removexattr("file", "user.one"));
}

CASE("xattr/flags-create-and-replace") {
  make_file("file", 0644);
  ERR(ENODATA, setxattr("file", "user.a", "1", 1, XATTR_REPLACE));
  OK(setxattr("file", "user.a", "1", 1, XATTR_CREATE));
  ERR(EEXIST, setxattr("file", "user.a", "2", 1, XATTR_CREATE));
  OK(setxattr("file", "user.a", "3", 1, XATTR_REPLACE));
  ERR(EINVAL, setxattr("file", "user.a", "3", 1, 64));
  char value;
  EQ(OK(getxattr("file", "user.a", &value, 1)), 1);
  EQ(value, '3');
}

CASE("xattr/empty-value") {
  make_file("file", 0644);
  OK(setxattr("file", "user.a", "", 0, 0));
  char value;
  EQ(OK(getxattr("file", "user.a", &value, 1)), 0);
  EQ(OK(getxattr("file", "user.a", NULL, 0)), 0);
  EQ(OK(listxattr("file", NULL, 0)) > 0, 1);
}

CASE("xattr/binary-value") {
  make_file("file", 0644);
  char value[256], got[256];
  for (int i = 0; i < 256; i++) value[i] = i;
  OK(setxattr("file", "user.a", value, 256, 0));
  EQ(OK(getxattr("file", "user.a", got, 256)), 256);
  TRUE(!memcmp(value, got, 256));
}

static void value_of_size(const void *argument) {
  size_t size = *(const size_t *)argument;
  make_file("file", 0644);
  char *value = malloc(size + 1), *got = malloc(size + 1);
  fill_pattern(value, size, 0, 1);
  OK(setxattr("file", "user.a", value, size, 0));
  EQ(OK(getxattr("file", "user.a", NULL, 0)), (long)size);
  EQ(OK(getxattr("file", "user.a", got, size + 1)), (long)size);
  TRUE(!memcmp(value, got, size));
  drop_caches();
  memset(got, 0, size);
  EQ(OK(getxattr("file", "user.a", got, size)), (long)size);
  TRUE(!memcmp(value, got, size));
  fill_pattern(value, size, 0, 2);
  OK(setxattr("file", "user.a", value, size, XATTR_REPLACE));
  EQ(OK(getxattr("file", "user.a", got, size)), (long)size);
  TRUE(!memcmp(value, got, size));
  OK(removexattr("file", "user.a"));
}
static const size_t valueSizes[] = {1, 100, 1000, 3000, 4096, 16384, 65536};
AT_START(add_values) {
  for (int i = 0; i < 7; i++) add_case_named(value_of_size, &valueSizes[i], "xattr/value-of-%zu-bytes", valueSizes[i]);
}

CASE("xattr/value-above-64-kib") {
  make_file("file", 0644);
  ERR(E2BIG, setxattr("file", "user.a", long_name(65537, 'x'), 65537, 0));
  EQ(OK(listxattr("file", NULL, 0)), 0);
}

CASE("xattr/buffer-too-small") {
  make_file("file", 0644);
  OK(setxattr("file", "user.a", "12345", 5, 0));
  char value[5];
  ERR(ERANGE, getxattr("file", "user.a", value, 4));
  ERR(ERANGE, listxattr("file", value, 3));
  EQ(OK(getxattr("file", "user.a", value, 5)), 5);
}

CASE("xattr/name-lengths") {
  make_file("file", 0644);
  char *longest = format_text("user.%s", long_name(250, 'n'));
  OK(setxattr("file", longest, "v", 1, 0));
  char value;
  EQ(OK(getxattr("file", longest, &value, 1)), 1);
  ERR2(ERANGE, ENAMETOOLONG, setxattr("file", format_text("user.%s", long_name(251, 'n')), "v", 1, 0));
  ERR2(ERANGE, EINVAL, setxattr("file", "", "v", 1, 0));
  ERR2(EINVAL, EOPNOTSUPP, setxattr("file", "user.", "v", 1, 0));
  char list[300];
  EQ(OK(listxattr("file", list, sizeof list)), 256);
}

CASE("xattr/unknown-namespace") {
  make_file("file", 0644);
  char value[8];
  ERR(EOPNOTSUPP, setxattr("file", "foreign.a", "v", 1, 0));
  ERR(EOPNOTSUPP, setxattr("file", "nodot", "v", 1, 0));
  ERR(EOPNOTSUPP, getxattr("file", "foreign.a", value, 8));
}

CASE("xattr/names-differ-by-every-byte") {
  make_file("file", 0644);
  OK(setxattr("file", "user.a", "1", 1, 0));
  OK(setxattr("file", "user.A", "2", 1, 0));
  OK(setxattr("file", "user.a.b", "3", 1, 0));
  OK(setxattr("file", "user.\xff\x80", "4", 1, 0));
  char value;
  EQ(OK(getxattr("file", "user.a", &value, 1)), 1);
  EQ(value, '1');
  EQ(OK(getxattr("file", "user.\xff\x80", &value, 1)), 1);
  EQ(value, '4');
}

CASE("xattr/a-hundred-names") {
  make_file("file", 0644);
  for (int i = 0; i < 100; i++) OK(setxattr("file", format_text("user.n%d", i), format_text("%d", i), 3, 0));
  for (int i = 0; i < 100; i++) {
    char value[3];
    EQ(OK(getxattr("file", format_text("user.n%d", i), value, 3)), 3);
    EQ(atoi(value), i);
  }
  char list[4096];
  ssize_t size = OK(listxattr("file", list, sizeof list));
  int count = 0;
  for (ssize_t at = 0; at < size; at += strlen(list + at) + 1) count++;
  EQ(count, 100);
  EQ(OK(listxattr("file", NULL, 0)), size);
}

CASE("xattr/by-descriptor-and-on-a-directory") {
  make_dir("d", 0755);
  int fd = open_or_fail("d", O_RDONLY | O_DIRECTORY);
  OK(fsetxattr(fd, "user.a", "v", 1, 0));
  char value[8];
  EQ(OK(fgetxattr(fd, "user.a", value, 8)), 1);
  EQ(OK(getxattr("d", "user.a", value, 8)), 1);
  EQ(OK(flistxattr(fd, value, 8)), 7);
  OK(fremovexattr(fd, "user.a"));
  ERR(ENODATA, getxattr("d", "user.a", value, 8));
  int path = OK(open("d", O_PATH));
  ERR(EBADF, fsetxattr(path, "user.a", "v", 1, 0));
}

CASE("xattr/user-only-on-files-and-directories") {
  OK(symlink("x", "link"));
  OK(mkfifo("fifo", 0644));
  OK(mknod("device", S_IFCHR | 0600, makedev(1, 3)));
  char value[8];
  ERR(EPERM, lsetxattr("link", "user.a", "v", 1, 0));
  ERR(EPERM, setxattr("fifo", "user.a", "v", 1, 0));
  ERR(EPERM, setxattr("device", "user.a", "v", 1, 0));
  ERR2(ENODATA, EPERM, lgetxattr("link", "user.a", value, 8));
  OK(lsetxattr("link", "trusted.a", "v", 1, 0));
  EQ(OK(lgetxattr("link", "trusted.a", value, 8)), 1);
  OK(setxattr("fifo", "trusted.a", "v", 1, 0));
  ERR(ENOENT, getxattr("link", "trusted.a", value, 8));
}

CASE("xattr/user-needs-permissions-of-the-file") {
  make_file_of("file", BOB, BOB, 0640);
  OK(setxattr("file", "user.a", "v", 1, 0));
  char value[8];
  AS(ALICE, ALICE) {
    ERR(EACCES, getxattr("file", "user.a", value, 8));
    ERR(EACCES, setxattr("file", "user.a", "w", 1, 0));
    ERR(EACCES, removexattr("file", "user.a"));
  }
  AS(ALICE, BOB) {
    OK(getxattr("file", "user.a", value, 8));
    ERR(EACCES, setxattr("file", "user.a", "w", 1, 0));
  }
  AS(BOB, BOB) { OK(setxattr("file", "user.a", "w", 1, 0)); }
}

CASE("xattr/user-in-a-sticky-directory-is-for-its-owner") {
  make_dir_of("d", BOB, BOB, 01777);
  AS(ALICE, ALICE) { ERR(EPERM, setxattr("d", "user.a", "v", 1, 0)); }
  AS(BOB, BOB) { OK(setxattr("d", "user.a", "v", 1, 0)); }
}

CASE("xattr/trusted-is-for-root-and-hidden-from-others") {
  make_file_of("file", ALICE, ALICE, 0666);
  OK(setxattr("file", "trusted.a", "v", 1, 0));
  AS(ALICE, ALICE) {
    char value[64];
    ERR(EPERM, setxattr("file", "trusted.a", "w", 1, 0));
    ERR(ENODATA, getxattr("file", "trusted.a", value, 64));
    ERR(EPERM, removexattr("file", "trusted.a"));
    ssize_t size = OK(listxattr("file", value, 64));
    TRUE(!memmem(value, size, "trusted.a", 10));
  }
  char list[64];
  ssize_t size = OK(listxattr("file", list, 64));
  TRUE(memmem(list, size, "trusted.a", 10) != NULL);
}

CASE("xattr/security-is-read-by-all-and-set-by-root") {
  make_file_of("file", ALICE, ALICE, 0644);
  OK(setxattr("file", "security.test", "v", 1, 0));
  AS(ALICE, ALICE) {
    char value[8];
    EQ(OK(getxattr("file", "security.test", value, 8)), 1);
    ERR(EPERM, setxattr("file", "security.test", "w", 1, 0));
  }
}

CASE("xattr/unknown-system-name") {
  make_file("file", 0644);
  ERR(EOPNOTSUPP, setxattr("file", "system.unknown", "v", 1, 0));
}

CASE("xattr/belong-to-the-inode-not-the-name") {
  make_dir("d", 0755);
  make_file("file", 0644);
  OK(setxattr("file", "user.a", "v", 1, 0));
  OK(link("file", "second"));
  OK(rename("file", "d/moved"));
  char value;
  EQ(OK(getxattr("second", "user.a", &value, 1)), 1);
  OK(unlink("second"));
  EQ(OK(getxattr("d/moved", "user.a", &value, 1)), 1);
  OK(unlink("d/moved"));
  make_file("file", 0644);
  ERR(ENODATA, getxattr("file", "user.a", &value, 1));
}

CASE("xattr/survive-writes-truncation-and-dropped-caches") {
  int fd = open_or_fail("file", O_CREAT | O_RDWR);
  OK(fsetxattr(fd, "user.a", "value", 5, 0));
  write_pattern(fd, 0, 100000, 1);
  OK(ftruncate(fd, 0));
  OK(fsync(fd));
  drop_caches();
  char value[8];
  EQ(OK(getxattr("file", "user.a", value, 8)), 5);
  TRUE(!memcmp(value, "value", 5));
}

CASE("xattr/replaced-by-a-longer-and-a-shorter-value") {
  make_file("file", 0644);
  char got[2048];
  for (int size = 1; size < 2000; size = size * 3 + 1) {
    OK(setxattr("file", "user.a", long_name(size, 'x'), size, 0));
    EQ(OK(getxattr("file", "user.a", got, sizeof got)), size);
  }
  OK(setxattr("file", "user.a", "s", 1, 0));
  EQ(OK(getxattr("file", "user.a", got, sizeof got)), 1);
}
