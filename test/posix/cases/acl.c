/*
 * POSIX access control lists by their raw attribute (version 2, little-endian entries of tag 2, permissions 2, id 4), so that no
 * library is needed: evaluation, the mask in the mode, inheritance, who may set them. acl(5) is the source of every rule.
 */
#include "harness.h"

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"
enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };

struct entry {
  uint16_t tag, permissions;
  uint32_t id;
};
#define NO_ID 0xffffffffu

static size_t encode(char *value, const struct entry *entries, size_t count) {
  uint32_t version = 2;
  memcpy(value, &version, 4);
  memcpy(value + 4, entries, count * sizeof *entries);
  return 4 + count * sizeof *entries;
}

static int set_acl(const char *path, const char *which, const struct entry *entries, size_t count) {
  char value[4 + 64 * sizeof *entries];
  int result = setxattr(path, which, value, encode(value, entries, count), 0);
  if (result != 0 && errno == EOPNOTSUPP) skip("no POSIX ACLs here");
  return result;
}
#define SET(path, which, ...) set_acl(path, which, (const struct entry[]){__VA_ARGS__}, sizeof((struct entry[]){__VA_ARGS__}) / sizeof(struct entry))

static void check_acl(const char *path, const char *which, const struct entry *entries, size_t count, int line) {
  char wanted[1024], got[1024];
  size_t size = encode(wanted, entries, count);
  ssize_t found = getxattr(path, which, got, sizeof got);
  if (found != (ssize_t)size || memcmp(wanted, got, size) != 0)
    fail_at(__FILE__, line, "%s of %s differs: %zd bytes, expected %zu", which, path, found, size);
}
#define CHECK(path, which, ...) check_acl(path, which, (const struct entry[]){__VA_ARGS__}, sizeof((struct entry[]){__VA_ARGS__}) / sizeof(struct entry), __LINE__)

CASE("acl/named-user") {
  make_file_of("file", BOB, BOB, 0600);
  OK(SET("file", ACCESS, {USER_OBJ, 6, NO_ID}, {USER, 4, ALICE}, {GROUP_OBJ, 0, NO_ID}, {MASK, 4, NO_ID}, {OTHER, 0, NO_ID}));
  AS(ALICE, ALICE) {
    OK(open("file", O_RDONLY));
    ERR(EACCES, open("file", O_WRONLY));
  }
  AS(CREW, CREW) { ERR(EACCES, open("file", O_RDONLY)); }
}

CASE("acl/named-group") {
  make_file_of("file", BOB, BOB, 0600);
  OK(SET("file", ACCESS, {USER_OBJ, 6, NO_ID}, {GROUP_OBJ, 0, NO_ID}, {GROUP, 6, STAFF}, {MASK, 6, NO_ID}, {OTHER, 0, NO_ID}));
  AS_GROUPS(ALICE, ALICE, STAFF) { OK(open("file", O_RDWR)); }
  AS(ALICE, STAFF) { OK(open("file", O_RDWR)); }
  AS(ALICE, ALICE) { ERR(EACCES, open("file", O_RDONLY)); }
}

CASE("acl/mask-limits-named-entries-and-the-group-not-the-owner") {
  make_file_of("file", BOB, STAFF, 0600);
  OK(SET("file", ACCESS, {USER_OBJ, 6, NO_ID}, {USER, 6, ALICE}, {GROUP_OBJ, 6, NO_ID}, {MASK, 4, NO_ID}, {OTHER, 0, NO_ID}));
  AS(ALICE, ALICE) { ERR(EACCES, open("file", O_RDWR)); }
  AS(CREW, STAFF) { ERR(EACCES, open("file", O_RDWR)); }
  AS(ALICE, ALICE) { OK(open("file", O_RDONLY)); }
  AS(BOB, BOB) { OK(open("file", O_RDWR)); }
}

CASE("acl/named-user-entry-wins-over-others") {
  make_file_of("file", BOB, BOB, 0666);
  OK(SET("file", ACCESS, {USER_OBJ, 6, NO_ID}, {USER, 0, ALICE}, {GROUP_OBJ, 6, NO_ID}, {MASK, 6, NO_ID}, {OTHER, 6, NO_ID}));
  AS(ALICE, ALICE) { ERR(EACCES, open("file", O_RDONLY)); }
  AS(CREW, CREW) { OK(open("file", O_RDWR)); }
}

CASE("acl/a-matching-group-without-permission-denies-others") {
  make_file_of("file", BOB, BOB, 0666);
  OK(SET("file", ACCESS, {USER_OBJ, 6, NO_ID}, {GROUP_OBJ, 6, NO_ID}, {GROUP, 0, STAFF}, {MASK, 6, NO_ID}, {OTHER, 6, NO_ID}));
  AS(ALICE, STAFF) { ERR(EACCES, open("file", O_RDONLY)); }
  AS_GROUPS(ALICE, STAFF, BOB) { OK(open("file", O_RDWR)); } /* any matching group that grants is enough */
}

CASE("acl/mode-group-bits-are-the-mask") {
  make_file("file", 0600);
  OK(SET("file", ACCESS, {USER_OBJ, 7, NO_ID}, {USER, 7, ALICE}, {GROUP_OBJ, 1, NO_ID}, {MASK, 6, NO_ID}, {OTHER, 4, NO_ID}));
  EQ(mode_of("file"), 0764);
}

CASE("acl/chmod-sets-the-mask") {
  make_file_of("file", BOB, BOB, 0600);
  OK(SET("file", ACCESS, {USER_OBJ, 6, NO_ID}, {USER, 6, ALICE}, {GROUP_OBJ, 6, NO_ID}, {MASK, 6, NO_ID}, {OTHER, 0, NO_ID}));
  OK(chmod("file", 0701));
  CHECK("file", ACCESS, {USER_OBJ, 7, NO_ID}, {USER, 6, ALICE}, {GROUP_OBJ, 6, NO_ID}, {MASK, 0, NO_ID}, {OTHER, 1, NO_ID});
  AS(ALICE, ALICE) { ERR(EACCES, open("file", O_RDONLY)); }
  OK(chmod("file", 0640));
  AS(ALICE, ALICE) { OK(open("file", O_RDONLY)); }
}

CASE("acl/minimal-list-is-only-the-mode") {
  make_file("file", 0600);
  OK(SET("file", ACCESS, {USER_OBJ, 6, NO_ID}, {GROUP_OBJ, 4, NO_ID}, {OTHER, 1, NO_ID}));
  EQ(mode_of("file"), 0641);
  char value[64];
  ERR(ENODATA, getxattr("file", ACCESS, value, sizeof value));
}

CASE("acl/invalid-lists-are-refused") {
  make_file("file", 0600);
  ERR(EINVAL, SET("file", ACCESS, {USER_OBJ, 6, NO_ID}));
  ERR(EINVAL, SET("file", ACCESS, {USER_OBJ, 6, NO_ID}, {USER, 6, ALICE}, {GROUP_OBJ, 4, NO_ID}, {OTHER, 1, NO_ID})); /* no mask */
  ERR(EINVAL, SET("file", ACCESS, {GROUP_OBJ, 4, NO_ID}, {USER_OBJ, 6, NO_ID}, {OTHER, 1, NO_ID}));
  ERR(EINVAL, SET("file", ACCESS, {USER_OBJ, 16, NO_ID}, {GROUP_OBJ, 4, NO_ID}, {OTHER, 1, NO_ID}));
  ERR(EINVAL, setxattr("file", ACCESS, "x", 1, 0));
  EQ(mode_of("file"), 0600);
}

CASE("acl/only-the-owner-may-set") {
  make_file_of("file", BOB, BOB, 0666);
  AS(ALICE, ALICE) { ERR(EPERM, SET("file", ACCESS, {USER_OBJ, 6, NO_ID}, {GROUP_OBJ, 4, NO_ID}, {OTHER, 1, NO_ID})); }
  AS(BOB, BOB) { OK(SET("file", ACCESS, {USER_OBJ, 6, NO_ID}, {USER, 4, ALICE}, {GROUP_OBJ, 4, NO_ID}, {MASK, 4, NO_ID}, {OTHER, 0, NO_ID})); }
}

CASE("acl/remove") {
  make_file_of("file", BOB, BOB, 0600);
  OK(SET("file", ACCESS, {USER_OBJ, 6, NO_ID}, {USER, 6, ALICE}, {GROUP_OBJ, 0, NO_ID}, {MASK, 6, NO_ID}, {OTHER, 0, NO_ID}));
  OK(removexattr("file", ACCESS));
  AS(ALICE, ALICE) { ERR(EACCES, open("file", O_WRONLY)); }
  char value[64];
  ERR(ENODATA, getxattr("file", ACCESS, value, sizeof value));
}

CASE("acl/set-by-a-foreign-group-owner-clears-setgid") {
  make_file_of("file", ALICE, STAFF, 02755);
  AS(ALICE, ALICE) {
    OK(SET("file", ACCESS, {USER_OBJ, 7, NO_ID}, {USER, 4, BOB}, {GROUP_OBJ, 5, NO_ID}, {MASK, 5, NO_ID}, {OTHER, 5, NO_ID}));
    EQ(mode_of("file"), 0755);
  }
}

CASE("acl/default-is-for-directories") {
  make_file("file", 0644);
  make_dir("d", 0755);
  ERR(EACCES, SET("file", DEFAULT, {USER_OBJ, 6, NO_ID}, {GROUP_OBJ, 4, NO_ID}, {OTHER, 1, NO_ID}));
  OK(SET("d", DEFAULT, {USER_OBJ, 6, NO_ID}, {GROUP_OBJ, 4, NO_ID}, {OTHER, 1, NO_ID}));
  EQ(mode_of("d"), 0755);
  OK(removexattr("d", DEFAULT));
}

CASE("acl/inherited-by-a-file-with-its-mode-as-limit") {
  make_dir("d", 0755);
  OK(SET("d", DEFAULT, {USER_OBJ, 7, NO_ID}, {USER, 7, ALICE}, {GROUP_OBJ, 7, NO_ID}, {MASK, 7, NO_ID}, {OTHER, 5, NO_ID}));
  umask(077); /* does not count where there is a default list */
  OK(close(OK(open("d/file", O_CREAT | O_RDWR, 0640))));
  EQ(mode_of("d/file"), 0640);
  CHECK("d/file", ACCESS, {USER_OBJ, 6, NO_ID}, {USER, 7, ALICE}, {GROUP_OBJ, 7, NO_ID}, {MASK, 4, NO_ID}, {OTHER, 0, NO_ID});
  char value[64];
  ERR(ENODATA, getxattr("d/file", DEFAULT, value, sizeof value));
  OK(close(OK(open("d/wide", O_CREAT | O_RDWR, 0666))));
  EQ(mode_of("d/wide"), 0664);
}

CASE("acl/inherited-by-a-directory-with-the-default") {
  make_dir("d", 0755);
  OK(SET("d", DEFAULT, {USER_OBJ, 7, NO_ID}, {USER, 5, ALICE}, {GROUP_OBJ, 5, NO_ID}, {MASK, 7, NO_ID}, {OTHER, 0, NO_ID}));
  umask(022);
  OK(mkdir("d/sub", 0777));
  EQ(mode_of("d/sub"), 0770);
  CHECK("d/sub", DEFAULT, {USER_OBJ, 7, NO_ID}, {USER, 5, ALICE}, {GROUP_OBJ, 5, NO_ID}, {MASK, 7, NO_ID}, {OTHER, 0, NO_ID});
  CHECK("d/sub", ACCESS, {USER_OBJ, 7, NO_ID}, {USER, 5, ALICE}, {GROUP_OBJ, 5, NO_ID}, {MASK, 7, NO_ID}, {OTHER, 0, NO_ID});
  OK(mkdir("d/sub/deeper", 0700));
  EQ(mode_of("d/sub/deeper"), 0700);
}

CASE("acl/minimal-default-gives-only-a-mode") {
  make_dir("d", 0755);
  OK(SET("d", DEFAULT, {USER_OBJ, 7, NO_ID}, {GROUP_OBJ, 5, NO_ID}, {OTHER, 0, NO_ID}));
  umask(0);
  OK(close(OK(open("d/file", O_CREAT | O_RDWR, 0666))));
  EQ(mode_of("d/file"), 0640);
  char value[64];
  ERR(ENODATA, getxattr("d/file", ACCESS, value, sizeof value));
}

CASE("acl/inherited-by-fifos-nodes-and-not-by-symlinks") {
  make_dir("d", 0755);
  OK(SET("d", DEFAULT, {USER_OBJ, 6, NO_ID}, {GROUP_OBJ, 4, NO_ID}, {OTHER, 0, NO_ID}));
  OK(mkfifo("d/fifo", 0666));
  EQ(mode_of("d/fifo"), 0640);
  OK(mknod("d/node", S_IFREG | 0666, 0));
  EQ(mode_of("d/node"), 0640);
  OK(symlink("x", "d/link"));
  EQ(mode_of("d/link"), 0777);
}

CASE("acl/umask-counts-without-a-default") {
  make_dir("d", 0755);
  umask(027);
  OK(close(OK(open("d/file", O_CREAT | O_RDWR, 0666))));
  EQ(mode_of("d/file"), 0640);
  OK(mkdir("d/sub", 0777));
  EQ(mode_of("d/sub"), 0750);
}

CASE("acl/listed-among-the-attributes") {
  make_dir("d", 0755);
  OK(SET("d", DEFAULT, {USER_OBJ, 7, NO_ID}, {GROUP_OBJ, 5, NO_ID}, {OTHER, 0, NO_ID}));
  OK(SET("d", ACCESS, {USER_OBJ, 7, NO_ID}, {USER, 5, ALICE}, {GROUP_OBJ, 5, NO_ID}, {MASK, 7, NO_ID}, {OTHER, 0, NO_ID}));
  char list[256];
  ssize_t size = OK(listxattr("d", list, sizeof list));
  TRUE(memmem(list, size, ACCESS, sizeof ACCESS) != NULL);
  TRUE(memmem(list, size, DEFAULT, sizeof DEFAULT) != NULL);
}

CASE("acl/survives-rename-and-dropped-caches") {
  make_dir("d", 0755);
  make_file_of("file", BOB, BOB, 0600);
  OK(SET("file", ACCESS, {USER_OBJ, 6, NO_ID}, {USER, 6, ALICE}, {GROUP_OBJ, 0, NO_ID}, {MASK, 6, NO_ID}, {OTHER, 0, NO_ID}));
  OK(rename("file", "d/file"));
  drop_caches();
  AS(ALICE, ALICE) { OK(open("d/file", O_RDWR)); }
}

CASE("acl/directory-search-by-a-named-user") {
  make_dir_of("d", BOB, BOB, 0700);
  make_file("d/file", 0666);
  OK(SET("d", ACCESS, {USER_OBJ, 7, NO_ID}, {USER, 1, ALICE}, {GROUP_OBJ, 0, NO_ID}, {MASK, 1, NO_ID}, {OTHER, 0, NO_ID}));
  AS(ALICE, ALICE) {
    OK(open("d/file", O_RDWR));
    ERR(EACCES, open("d", O_RDONLY));
    ERR(EACCES, unlink("d/file"));
  }
}

CASE("acl/fifty-named-users") {
  struct entry entries[54] = {{USER_OBJ, 6, NO_ID}};
  for (uint32_t i = 0; i < 50; i++) entries[1 + i] = (struct entry){USER, i % 2 ? 4 : 0, 41000 + i};
  entries[51] = (struct entry){GROUP_OBJ, 0, NO_ID};
  entries[52] = (struct entry){MASK, 6, NO_ID};
  entries[53] = (struct entry){OTHER, 4, NO_ID};
  make_file_of("file", BOB, BOB, 0600);
  OK(set_acl("file", ACCESS, entries, 54));
  AS(41000, 41000) { ERR(EACCES, open("file", O_RDONLY)); }
  AS(41049, 41049) { OK(open("file", O_RDONLY)); }
}
