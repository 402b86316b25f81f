/*
 * mkdir, mknod, mkfifo, symlink, readlink, link: what comes into being, with which owner, mode and link counts.
 */
#include "harness.h"

CASE("mkdir/makes-an-empty-directory") {
  umask(027);
  OK(mkdir("d", 0777));
  EQ(mode_of("d"), 0750);
  TRUE(S_ISDIR(stat_of("d").st_mode));
  EQ(links_of("d"), 2);
  OK(rmdir("d"));
}

CASE("mkdir/raises-the-link-count-of-its-parent") {
  make_dir("d", 0755);
  make_dir("d/a", 0755);
  EQ(links_of("d"), 3);
  make_dir("d/b", 0755);
  EQ(links_of("d"), 4);
  make_file("d/file", 0644);
  EQ(links_of("d"), 4);
}

CASE("mkdir/on-existing-of-any-type") {
  make_dir("d", 0755);
  make_file("file", 0644);
  OK(symlink("absent", "dangling"));
  OK(symlink("d", "link"));
  OK(mkfifo("fifo", 0644));
  ERR(EEXIST, mkdir("d", 0755));
  ERR(EEXIST, mkdir("file", 0755));
  ERR(EEXIST, mkdir("dangling", 0755));
  ERR(EEXIST, mkdir("link", 0755));
  ERR(EEXIST, mkdir("fifo", 0755));
  ERR(EEXIST, mkdir(".", 0755));
  ERR(EEXIST, mkdir("..", 0755));
  ERR(EEXIST, mkdir("/", 0755));
}

CASE("mkdir/takes-ids-of-the-caller") {
  make_dir("d", 0777);
  AS(ALICE, STAFF) {
    OK(mkdir("d/new", 0755));
    EQ(stat_of("d/new").st_uid, ALICE);
    EQ(stat_of("d/new").st_gid, STAFF);
  }
}

CASE("mkdir/ignores-set-id-bits-of-the-mode-and-keeps-sticky") {
  OK(mkdir("d", 07755));
  EQ(mode_of("d"), 01755);
}

CASE("mkdir/needs-write-permission") {
  make_dir_of("d", BOB, BOB, 0755);
  AS(ALICE, ALICE) { ERR(EACCES, mkdir("d/new", 0755)); }
}

CASE("mkdir/in-a-setgid-directory-takes-its-group-and-bit") {
  make_dir_of("d", BOB, CREW, 02777);
  AS(ALICE, STAFF) {
    OK(mkdir("d/new", 0755));
    EQ(stat_of("d/new").st_gid, CREW);
    EQ(mode_of("d/new"), 02755);
    OK(mkdir("d/new/deeper", 0700));
    EQ(stat_of("d/new/deeper").st_gid, CREW);
    EQ(mode_of("d/new/deeper"), 02700);
  }
}

CASE("mkdir/a-thousand-directories-count-as-links") {
  make_dir("d", 0755);
  for (int i = 0; i < 1000; i++) OK(mkdir(format_text("d/%d", i), 0755));
  EQ(links_of("d"), 1002);
  for (int i = 0; i < 1000; i += 2) OK(rmdir(format_text("d/%d", i)));
  EQ(links_of("d"), 502);
}

CASE("mkdir/a-hundred-levels-deep") {
  for (int i = 0; i < 100; i++) {
    OK(mkdir("deeper", 0755));
    OK(chdir("deeper"));
  }
  make_file("file", 0644);
  char path[PATH_MAX];
  TRUE(getcwd(path, sizeof path) != NULL);
  TRUE(strlen(path) > 700);
}

struct node {
  const char *name;
  mode_t type;
  int major, minor;
};
static const struct node nodes[] = {
    {"file", S_IFREG, 0, 0},        {"fifo", S_IFIFO, 0, 0},      {"socket", S_IFSOCK, 0, 0},
    {"char-device", S_IFCHR, 1, 3}, {"block-device", S_IFBLK, 7, 200},
};

static void make_node(const void *argument) {
  const struct node *node = argument;
  dev_t device = makedev(node->major, node->minor);
  umask(022);
  OK(mknod("new", node->type | 0666, device));
  struct stat found = stat_of("new");
  EQ(found.st_mode & S_IFMT, node->type);
  EQ(found.st_mode & 07777, 0644);
  EQ(found.st_nlink, 1);
  EQ(found.st_size, 0);
  if (node->type == S_IFCHR || node->type == S_IFBLK) EQ(found.st_rdev, device);
  ERR(EEXIST, mknod("new", node->type | 0666, device));
  OK(link("new", "second"));
  EQ(links_of("new"), 2);
  OK(rename("second", "third"));
  OK(chmod("third", 0600));
  EQ(mode_of("new"), 0600);
  OK(unlink("new"));
  EQ(links_of("third"), 1);
}

static void make_node_as_user(const void *argument) {
  const struct node *node = argument;
  make_dir_of("d", ALICE, ALICE, 0755);
  AS(ALICE, STAFF) {
    bool isDevice = node->type == S_IFCHR || node->type == S_IFBLK;
    if (isDevice)
      ERR(EPERM, mknod("d/new", node->type | 0644, makedev(node->major, node->minor)));
    else {
      OK(mknod("d/new", node->type | 0644, 0));
      EQ(stat_of("d/new").st_uid, ALICE);
      EQ(stat_of("d/new").st_gid, STAFF);
    }
  }
}

static void list_node(const void *argument) {
  const struct node *node = argument;
  OK(mknod("new", node->type | 0644, makedev(node->major, node->minor)));
  DIR *dir = opendir(".");
  struct dirent *entry;
  while ((entry = readdir(dir)))
    if (!strcmp(entry->d_name, "new")) {
      if (entry->d_type == DT_UNKNOWN) skip("the file system does not give types in listings");
      EQ(entry->d_type, IFTODT(node->type));
      EQ(entry->d_ino, ino_of("new"));
      return;
    }
  FAIL("new is not listed");
}

AT_START(add_nodes) {
  for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
    add_case_named(make_node, &nodes[i], "mknod/%s", nodes[i].name);
    add_case_named(make_node_as_user, &nodes[i], "mknod/%s-as-ordinary-user", nodes[i].name);
    add_case_named(list_node, &nodes[i], "mknod/%s-type-in-listing", nodes[i].name);
  }
}

CASE("mknod/largest-device-numbers") {
  OK(mknod("new", S_IFCHR | 0600, makedev(4095, 1048575)));
  EQ(major(stat_of("new").st_rdev), 4095);
  EQ(minor(stat_of("new").st_rdev), 1048575);
}

CASE("mknod/directory-type-is-refused") { ERR2(EPERM, EINVAL, mknod("d", S_IFDIR | 0755, 0)); }

CASE("symlink/target-is-kept-as-it-is") {
  const char *targets[] = {"a", "../b/./c//d", "/absent", "with space", "\xff\xfe\x80", "trailing/"};
  for (int i = 0; i < 6; i++) {
    char *name = format_text("link%d", i), text[64];
    OK(symlink(targets[i], name));
    EQ(OK(readlink(name, text, sizeof text)), (long)strlen(targets[i]));
    TRUE(memcmp(text, targets[i], strlen(targets[i])) == 0);
    EQ(size_of(name), strlen(targets[i]));
    EQ(mode_of(name), 0777);
    TRUE(S_ISLNK(stat_of(name).st_mode));
  }
}

static void symlink_of_size(const void *argument) {
  size_t size = *(const size_t *)argument;
  char *target = long_name(size, 't'), *text = malloc(PATH_MAX);
  OK(symlink(target, "link"));
  EQ(size_of("link"), size);
  EQ(OK(readlink("link", text, PATH_MAX)), (long)size);
  TRUE(memcmp(text, target, size) == 0);
}
static const size_t symlinkSizes[] = {1, 59, 60, 255, 256, 1023, 4000, 4095};
AT_START(add_symlinks) {
  for (int i = 0; i < 8; i++) add_case_named(symlink_of_size, &symlinkSizes[i], "symlink/target-of-%zu-bytes", symlinkSizes[i]);
}

CASE("symlink/target-too-long-or-empty") {
  ERR(ENAMETOOLONG, symlink(long_name(4096, 't'), "link"));
  ERR(ENOENT, symlink("", "link"));
  TRUE(!exists("link"));
}

CASE("symlink/on-existing") {
  make_file("file", 0644);
  make_dir("d", 0755);
  OK(symlink("absent", "link"));
  ERR(EEXIST, symlink("x", "file"));
  ERR(EEXIST, symlink("x", "d"));
  ERR(EEXIST, symlink("x", "link"));
}

CASE("symlink/takes-ids-of-the-caller-and-lchown-changes-them") {
  make_dir("d", 0777);
  AS(ALICE, STAFF) { OK(symlink("x", "d/link")); }
  EQ(stat_of("d/link").st_uid, ALICE);
  EQ(stat_of("d/link").st_gid, STAFF);
  OK(lchown("d/link", BOB, CREW));
  EQ(stat_of("d/link").st_uid, BOB);
  EQ(stat_of("d/link").st_gid, CREW);
}

CASE("symlink/mode-cannot-be-changed") {
  OK(symlink("x", "link"));
  ERR(ENOENT, chmod("link", 0600));
  ERR2(EOPNOTSUPP, EINVAL, fchmodat(AT_FDCWD, "link", 0600, AT_SYMLINK_NOFOLLOW));
  EQ(mode_of("link"), 0777);
}

CASE("readlink/cuts-to-the-buffer") {
  OK(symlink("0123456789", "link"));
  char text[4] = "";
  EQ(OK(readlink("link", text, 4)), 4);
  TRUE(memcmp(text, "0123", 4) == 0);
  ERR(EINVAL, readlink("link", text, 0));
}

CASE("readlink/of-what-is-no-link") {
  char text[8];
  make_file("file", 0644);
  make_dir("d", 0755);
  OK(mkfifo("fifo", 0644));
  ERR(EINVAL, readlink("file", text, sizeof text));
  ERR(EINVAL, readlink("d", text, sizeof text));
  ERR(EINVAL, readlink("fifo", text, sizeof text));
}

CASE("link/two-names-of-one-inode") {
  make_text("a", "one");
  OK(link("a", "b"));
  EQ(ino_of("a"), ino_of("b"));
  EQ(links_of("a"), 2);
  make_text("b", "other");
  check_text("a", "other");
  OK(unlink("a"));
  EQ(links_of("b"), 1);
  check_text("b", "other");
}

CASE("link/link-count-is-fresh-after-each-step") {
  make_file("a", 0644);
  int fd = open_or_fail("a", O_RDONLY);
  struct stat found;
  for (int i = 0; i < 20; i++) {
    OK(link("a", format_text("l%d", i)));
    OK(fstat(fd, &found));
    EQ(found.st_nlink, i + 2);
    EQ(links_of(format_text("l%d", i / 2)), i + 2);
  }
  for (int i = 19; i >= 0; i--) {
    OK(unlink(format_text("l%d", i)));
    OK(fstat(fd, &found));
    EQ(found.st_nlink, i + 1);
  }
}

CASE("link/on-existing") {
  make_file("a", 0644);
  make_file("b", 0644);
  make_dir("d", 0755);
  OK(symlink("absent", "link"));
  ERR(EEXIST, link("a", "b"));
  ERR(EEXIST, link("a", "a"));
  ERR(EEXIST, link("a", "d"));
  ERR(EEXIST, link("a", "link"));
  EQ(links_of("a"), 1);
}

CASE("link/of-a-directory") {
  make_dir("d", 0755);
  ERR(EPERM, link("d", "e"));
  ERR(EPERM, link(".", "e"));
}

CASE("link/of-a-symlink-links-the-link-itself") {
  make_file("file", 0644);
  OK(symlink("file", "link"));
  OK(link("link", "second"));
  TRUE(S_ISLNK(stat_of("second").st_mode));
  EQ(links_of("link"), 2);
  OK(linkat(AT_FDCWD, "link", AT_FDCWD, "third", AT_SYMLINK_FOLLOW));
  TRUE(S_ISREG(stat_of("third").st_mode));
  EQ(links_of("file"), 2);
}

CASE("link/between-directories") {
  make_dir("d", 0755);
  make_dir("e", 0755);
  make_text("d/a", "x");
  OK(link("d/a", "e/b"));
  EQ(ino_of("d/a"), ino_of("e/b"));
  OK(rename("d/a", "e/c"));
  EQ(links_of("e/c"), 2);
  OK(unlink("e/b"));
  EQ(links_of("e/c"), 1);
}

CASE("link/needs-write-permission-on-the-target-directory") {
  make_dir_of("d", BOB, BOB, 0755);
  make_dir_of("own", ALICE, ALICE, 0755);
  make_file_of("own/file", ALICE, ALICE, 0644);
  AS(ALICE, ALICE) { ERR(EACCES, link("own/file", "d/new")); }
}

CASE("link/to-another-file-system") {
  make_file("a", 0644);
  ERR(EXDEV, link("a", "/dev/absent-name"));
  ERR(EXDEV, linkat(AT_FDCWD, "/proc/self/status", AT_FDCWD, "b", 0));
}

CASE("link/a-thousand-names") {
  make_file("a", 0644);
  for (int i = 0; i < 1000; i++) OK(link("a", format_text("name%d", i)));
  EQ(links_of("a"), 1001);
  OK(unlink("a"));
  EQ(links_of("name500"), 1000);
}

CASE("create/in-a-setgid-directory-takes-its-group-not-its-bit") {
  make_dir_of("d", BOB, CREW, 02777);
  AS(ALICE, STAFF) {
    make_file("d/file", 0644);
    OK(symlink("x", "d/link"));
    OK(mkfifo("d/fifo", 0644));
    EQ(stat_of("d/file").st_gid, CREW);
    EQ(mode_of("d/file"), 0644);
    EQ(stat_of("d/link").st_gid, CREW);
    EQ(stat_of("d/fifo").st_gid, CREW);
  }
}

CASE("create/setgid-executable-in-a-setgid-directory-of-a-foreign-group-loses-the-bit") {
  make_dir_of("d", BOB, CREW, 02777);
  AS(ALICE, STAFF) {
    OK(close(OK(open("d/file", O_CREAT | O_WRONLY, 02755))));
    EQ(mode_of("d/file"), 0755);
  }
  AS_GROUPS(ALICE, STAFF, CREW) {
    OK(close(OK(open("d/member", O_CREAT | O_WRONLY, 02755))));
    EQ(mode_of("d/member"), 02755);
  }
}

CASE("create/with-fsuid-of-the-caller") {
  make_dir("d", 0777);
  CHILD {
    syscall(SYS_setfsgid, STAFF);
    syscall(SYS_setfsuid, ALICE);
    make_file("d/file", 0644);
    EQ(stat_of("d/file").st_uid, ALICE);
    EQ(stat_of("d/file").st_gid, STAFF);
    OK(mkdir("d/sub", 0755));
    EQ(stat_of("d/sub").st_uid, ALICE);
  }
}

CASE("create/with-changed-effective-ids") {
  make_dir("d", 0777);
  CHILD {
    OK(setegid(STAFF));
    OK(seteuid(ALICE));
    make_file("d/file", 0644);
    EQ(stat_of("d/file").st_uid, ALICE);
    EQ(stat_of("d/file").st_gid, STAFF);
  }
}
