/*
 * chmod, chown and access: who may, what happens to set-id bits, and whose ids count.
 */
#include "harness.h"
#include <linux/capability.h>
#include <sys/prctl.h>

CASE("chmod/every-bit-pattern") {
  make_file("file", 0644);
  make_dir("d", 0755);
  for (mode_t mode = 0; mode <= 07777; mode += 0111) {
    OK(chmod("file", mode));
    EQ(mode_of("file"), mode);
    OK(chmod("d", mode));
    EQ(mode_of("d"), mode);
  }
}

CASE("chmod/by-descriptor-and-through-a-symlink") {
  make_file("file", 0644);
  OK(symlink("file", "link"));
  OK(chmod("link", 0600));
  EQ(mode_of("file"), 0600);
  OK(fchmod(open_or_fail("file", O_RDONLY), 0640));
  EQ(mode_of("file"), 0640);
  OK(fchmodat(AT_FDCWD, "link", 0604, 0));
  EQ(mode_of("file"), 0604);
}

CASE("chmod/type-bits-are-ignored") {
  make_file("file", 0644);
  OK(chmod("file", S_IFDIR | 0600));
  TRUE(S_ISREG(stat_of("file").st_mode));
}

CASE("chmod/only-owner-and-root") {
  make_file_of("file", BOB, STAFF, 0666);
  AS(ALICE, STAFF) { ERR(EPERM, chmod("file", 0600)); }
  AS(BOB, BOB) { OK(chmod("file", 0600)); }
}

CASE("chmod/setgid-is-dropped-for-a-foreign-group") {
  make_file_of("file", ALICE, STAFF, 0644);
  AS(ALICE, ALICE) {
    OK(chmod("file", 02755));
    EQ(mode_of("file"), 0755);
  }
  AS_GROUPS(ALICE, ALICE, STAFF) {
    OK(chmod("file", 02755));
    EQ(mode_of("file"), 02755);
  }
}

CASE("chmod/setuid-and-sticky-by-the-owner") {
  make_file_of("file", ALICE, ALICE, 0644);
  make_dir_of("d", ALICE, ALICE, 0755);
  AS(ALICE, ALICE) {
    OK(chmod("file", 04755));
    EQ(mode_of("file"), 04755);
    OK(chmod("d", 01777));
    EQ(mode_of("d"), 01777);
  }
}

CASE("chmod/open-descriptor-keeps-its-rights") {
  make_file_of("file", ALICE, ALICE, 0600);
  AS(ALICE, ALICE) {
    int fd = open_or_fail("file", O_RDWR);
    OK(chmod("file", 0));
    EQ(OK(write(fd, "abc", 3)), 3);
    check_range(fd, 0, "abc", 3);
    ERR(EACCES, open("file", O_RDONLY));
  }
}

CASE("chmod/directory-without-read-can-be-searched-not-listed") {
  make_dir_of("d", ALICE, ALICE, 0755);
  make_file_of("d/file", ALICE, ALICE, 0644);
  OK(chmod("d", 0311));
  AS(ALICE, ALICE) {
    ERR(EACCES, open("d", O_RDONLY));
    OK(open("d/file", O_RDONLY));
  }
  OK(chmod("d", 0644));
  AS(ALICE, ALICE) {
    OK(open("d", O_RDONLY | O_DIRECTORY));
    ERR(EACCES, open("d/file", O_RDONLY));
  }
}

CASE("chown/root-gives-away-and-minus-one-keeps") {
  make_file("file", 0644);
  OK(chown("file", ALICE, STAFF));
  EQ(stat_of("file").st_uid, ALICE);
  EQ(stat_of("file").st_gid, STAFF);
  OK(chown("file", -1, CREW));
  EQ(stat_of("file").st_uid, ALICE);
  EQ(stat_of("file").st_gid, CREW);
  OK(chown("file", BOB, -1));
  EQ(stat_of("file").st_uid, BOB);
  EQ(stat_of("file").st_gid, CREW);
}

CASE("chown/large-ids") {
  make_file("file", 0644);
  OK(chown("file", 4294967294u, 4294967293u));
  EQ(stat_of("file").st_uid, 4294967294u);
  EQ(stat_of("file").st_gid, 4294967293u);
}

CASE("chown/owner-may-change-to-own-groups-only") {
  make_file_of("file", ALICE, ALICE, 0644);
  AS_GROUPS(ALICE, ALICE, STAFF) {
    OK(chown("file", -1, STAFF));
    OK(chown("file", ALICE, ALICE));
    ERR(EPERM, chown("file", -1, CREW));
    ERR(EPERM, chown("file", BOB, -1));
    OK(chown("file", -1, -1));
  }
  AS_GROUPS(BOB, BOB, STAFF) { ERR(EPERM, chown("file", -1, STAFF)); }
}

CASE("chown/lchown-changes-the-link-itself") {
  make_file("file", 0644);
  OK(symlink("file", "link"));
  OK(lchown("link", ALICE, STAFF));
  EQ(stat_of("link").st_uid, ALICE);
  EQ(stat_of("file").st_uid, 0);
  OK(chown("link", BOB, BOB));
  EQ(stat_of("file").st_uid, BOB);
  EQ(stat_of("link").st_uid, ALICE);
}

struct set_id {
  const char *name;
  mode_t before, after;
};
/* Set-gid without group execution means mandatory locking in old days and is not cleared. */
static const struct set_id setIds[] = {
    {"setuid", 04755, 0755}, {"setgid", 02755, 0755}, {"both", 06755, 0755}, {"setgid-without-group-execute", 02745, 02745}, {"setuid-not-executable", 04644, 0644},
};

/* Bits are for programs: whoever changes the bytes or the owner takes them off. Only what `after` says may be left of 06000. */
static void chown_by_owner(const void *argument) {
  const struct set_id *row = argument;
  make_file_of("file", ALICE, ALICE, row->before);
  AS_GROUPS(ALICE, ALICE, STAFF) {
    OK(chown("file", ALICE, STAFF));
    /* A plain user always loses set-gid of a group that he is not acting in; with group membership Linux keeps locking files. */
    EQ(mode_of("file"), row->after);
  }
}
static void chown_by_root(const void *argument) {
  const struct set_id *row = argument;
  make_file_of("file", ALICE, ALICE, row->before);
  OK(chown("file", BOB, BOB));
  EQ(mode_of("file"), row->after);
}
static void write_by_other(const void *argument) {
  const struct set_id *row = argument;
  make_file_of("file", BOB, ALICE, row->before | 0022);
  AS(ALICE, ALICE) {
    int fd = open_or_fail("file", O_WRONLY);
    EQ(OK(write(fd, "x", 1)), 1);
    EQ(mode_of("file"), row->after | 0022);
    OK(close(fd));
    EQ(mode_of("file"), row->after | 0022);
  }
}
static void truncate_by_other(const void *argument) {
  const struct set_id *row = argument;
  make_file_of("file", BOB, ALICE, row->before | 0022);
  AS(ALICE, ALICE) {
    OK(truncate("file", 10));
    EQ(mode_of("file"), row->after | 0022);
  }
}
static void write_by_root(const void *argument) {
  const struct set_id *row = argument;
  make_file_of("file", BOB, BOB, row->before);
  int fd = open_or_fail("file", O_WRONLY);
  EQ(OK(write(fd, "x", 1)), 1);
  OK(ftruncate(fd, 100));
  OK(close(fd));
  EQ(mode_of("file"), row->before);
}
static void fallocate_by_other(const void *argument) {
  const struct set_id *row = argument;
  make_file_of("file", BOB, ALICE, row->before | 0022);
  AS(ALICE, ALICE) {
    OK(fallocate(open_or_fail("file", O_WRONLY), 0, 0, 10));
    EQ(mode_of("file"), row->after | 0022);
  }
}

AT_START(add_set_ids) {
  for (size_t i = 0; i < sizeof setIds / sizeof setIds[0]; i++) {
    const struct set_id *row = &setIds[i];
    add_case_named(chown_by_owner, row, "set-id/%s-after-chown-by-owner", row->name);
    add_case_named(chown_by_root, row, "set-id/%s-after-chown-by-root", row->name);
    add_case_named(write_by_other, row, "set-id/%s-after-write-by-user", row->name);
    add_case_named(truncate_by_other, row, "set-id/%s-after-truncate-by-user", row->name);
    add_case_named(fallocate_by_other, row, "set-id/%s-after-fallocate-by-user", row->name);
    add_case_named(write_by_root, row, "set-id/%s-stays-after-write-by-root", row->name);
  }
}

/* As a program with file capabilities, or root of a user namespace, is to the file system: not uid 0. */
static void become_with_capabilities(uid_t uid, unsigned capabilities) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct sets[2] = {{.effective = capabilities, .permitted = capabilities}};
  OK(prctl(PR_SET_KEEPCAPS, 1));
  OK(setresuid(uid, uid, uid));
  OK(syscall(SYS_capset, &header, sets));
}

CASE("capabilities/chown-and-fowner-do-what-root-may") {
  make_dir("d", 01777);
  make_file_of("d/file", ALICE, ALICE, 0644);
  make_file_of("d/gone", ALICE, ALICE, 0644);
  OK(chmod("d", 01777));
  CHILD {
    become_with_capabilities(BOB, 1u << CAP_CHOWN | 1u << CAP_FOWNER);
    OK(chmod("d/file", 0600));
    OK(chown("d/file", BOB, CREW));
    OK(chown("d/file", ALICE, STAFF));
    OK(utimensat(AT_FDCWD, "d/file", (struct timespec[2]){{1, 2}, {3, 4}}, 0));
    OK(unlink("d/gone"));
  }
  EQ(mode_of("d/file"), 0600);
  EQ(stat_of("d/file").st_gid, STAFF);
  CHILD {
    become_with_capabilities(BOB, 1u << CAP_NET_RAW);
    ERR(EPERM, chmod("d/file", 0644));
    ERR(EPERM, chown("d/file", BOB, -1));
  }
}

CASE("set-id/directory-keeps-its-bits-over-chown") {
  make_dir_of("d", ALICE, ALICE, 06755);
  OK(chown("d", BOB, BOB));
  EQ(mode_of("d"), 06755);
}

CASE("set-id/capabilities-go-with-a-write") {
  /* A version 2 capability set: cap_net_raw, effective. */
  static const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20};
  make_file_of("file", ALICE, ALICE, 0755);
  OK(setxattr("file", "security.capability", capability, sizeof capability, 0));
  AS(ALICE, ALICE) {
    int fd = open_or_fail("file", O_WRONLY);
    EQ(OK(write(fd, "x", 1)), 1);
  }
  char value[32];
  ERR(ENODATA, getxattr("file", "security.capability", value, sizeof value));
  OK(setxattr("file", "security.capability", capability, sizeof capability, 0));
  OK(chown("file", BOB, BOB));
  ERR(ENODATA, getxattr("file", "security.capability", value, sizeof value));
}

CASE("set-id/capabilities-go-with-a-direct-write") {
  static const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20};
  static char block[4096] __attribute__((aligned(4096)));
  make_file_of("file", ALICE, ALICE, 0755);
  OK(setxattr("file", "security.capability", capability, sizeof capability, 0));
  AS(ALICE, ALICE) {
    int fd = open_or_fail("file", O_WRONLY | O_DIRECT);
    EQ(OK(write(fd, block, sizeof block)), (long)sizeof block);
  }
  char value[32];
  ERR(ENODATA, getxattr("file", "security.capability", value, sizeof value));
}

CASE("access/asks-with-the-real-ids") {
  make_file_of("file", ALICE, ALICE, 0700);
  CHILD {
    OK(setresgid(BOB, BOB, BOB));
    OK(setresuid(BOB, 0, 0));
    ERR(EACCES, access("file", R_OK));
    OK(faccessat(AT_FDCWD, "file", R_OK, AT_EACCESS));
  }
  CHILD {
    OK(setresuid(0, ALICE, 0));
    OK(access("file", R_OK | W_OK | X_OK));
  }
}

CASE("access/of-every-permission") {
  make_file_of("file", ALICE, ALICE, 0640);
  AS(ALICE, ALICE) {
    OK(access("file", F_OK));
    OK(access("file", R_OK | W_OK));
    ERR(EACCES, access("file", X_OK));
    ERR(EACCES, access("file", R_OK | X_OK));
  }
  AS(BOB, BOB) {
    OK(access("file", F_OK));
    ERR(EACCES, access("file", R_OK));
  }
  AS(BOB, ALICE) { OK(access("file", R_OK)); }
}

CASE("access/root-executes-only-what-somebody-may") {
  make_file("file", 0644);
  ERR(EACCES, access("file", X_OK));
  OK(access("file", R_OK | W_OK));
  OK(chmod("file", 0001));
  OK(access("file", X_OK));
  make_dir("d", 0);
  OK(access("d", R_OK | W_OK | X_OK));
}

CASE("access/supplementary-groups-count") {
  make_file_of("file", BOB, STAFF, 0060);
  AS_GROUPS(ALICE, ALICE, CREW, STAFF) {
    OK(open("file", O_RDWR));
    OK(access("file", R_OK | W_OK));
  }
  AS_GROUPS(ALICE, ALICE, CREW) { ERR(EACCES, open("file", O_RDONLY)); }
}

CASE("access/the-twentieth-group-counts-too") {
  make_file_of("file", BOB, STAFF, 0040);
  gid_t groups[64];
  for (int i = 0; i < 64; i++) groups[i] = 50000 + i;
  groups[40] = STAFF;
  for (bool inside = enter_child(ALICE, ALICE, 64, groups); inside; leave_child()) OK(open("file", O_RDONLY));
}

CASE("access/search-with-a-changed-effective-user") {
  make_dir_of("d", ALICE, ALICE, 0700);
  make_file_of("d/file", ALICE, ALICE, 0600);
  CHILD {
    OK(setegid(ALICE));
    OK(seteuid(ALICE));
    OK(open("d/file", O_RDWR));
    OK(seteuid(0));
    OK(setegid(BOB));
    OK(seteuid(BOB));
    ERR(EACCES, open("d/file", O_RDONLY));
    struct stat found;
    ERR(EACCES, stat("d/file", &found));
  }
}

CASE("access/cached-names-do-not-pass-permissions") {
  make_dir_of("d", ALICE, ALICE, 0755);
  make_file_of("d/file", ALICE, ALICE, 0644);
  AS(BOB, BOB) { OK(open("d/file", O_RDONLY)); }
  OK(chmod("d", 0700));
  AS(BOB, BOB) { ERR(EACCES, open("d/file", O_RDONLY)); }
  OK(chmod("d", 0711));
  OK(chmod("d/file", 0600));
  AS(BOB, BOB) { ERR(EACCES, open("d/file", O_RDONLY)); }
}
