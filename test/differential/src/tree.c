/*
 * The comparison of two trees. Names, types, modes, owners, link counts, sizes, device numbers, link targets, contents, attributes and
 * which names share an inode must agree. Not compared: times, inode numbers, blocks, sizes of directories, order of listings.
 */
#include "tree.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { LIST_MAX = 1 << 20, INODES_MAX = 1 << 14 };

static int by_text(const void *left, const void *right) { return strcmp(*(char *const *)left, *(char *const *)right); }

static char *join_sorted(char **names, size_t count, size_t size) {
  qsort(names, count, sizeof *names, by_text);
  char *joined = malloc(size + 1), *at = joined;
  *at = 0;
  for (size_t i = 0; i < count; i++) {
    at = stpcpy(at, names[i]);
    at = stpcpy(at, "/");
    free(names[i]);
  }
  return joined;
}

char *list_names(const char *path) {
  DIR *dir = opendir(path);
  if (!dir) return NULL;
  static char *names[1 << 16];
  size_t count = 0, size = 0;
  struct dirent *entry;
  while ((entry = readdir(dir)) && count < sizeof names / sizeof names[0]) {
    names[count++] = strdup(entry->d_name);
    size += strlen(entry->d_name) + 1;
  }
  closedir(dir);
  return join_sorted(names, count, size);
}

char *list_attributes(const char *path) {
  static char list[LIST_MAX];
  ssize_t size = llistxattr(path, list, sizeof list);
  if (size < 0) return NULL;
  static char *names[1 << 10];
  size_t count = 0;
  for (ssize_t at = 0; at < size; at += strlen(list + at) + 1) names[count++] = strdup(list + at);
  return join_sorted(names, count, size);
}

/* Inodes in the order of a sorted walk: two trees with equal links give equal numbers. */
struct walk {
  ino_t inodes[INODES_MAX];
  size_t count;
};

static size_t number_of(struct walk *walk, ino_t ino) {
  for (size_t i = 0; i < walk->count; i++)
    if (walk->inodes[i] == ino) return i;
  if (walk->count < INODES_MAX) walk->inodes[walk->count++] = ino;
  return walk->count - 1;
}

static void must_equal(const char *path, const char *what, long long left, long long right) {
  if (left != right) story_fail("%s: %s is %lld (0%llo) and %lld (0%llo)", path, what, left, left, right, right);
}

static void compare_bytes(const char *path, const char *left, const char *right) {
  static char one[1 << 16], two[1 << 16];
  int leftFd = open(left, O_RDONLY), rightFd = open(right, O_RDONLY);
  if (leftFd < 0 || rightFd < 0) story_fail("%s: cannot be opened: %s", path, strerror(errno));
  for (off_t offset = 0;;) {
    ssize_t leftSize = pread(leftFd, one, sizeof one, offset), rightSize = pread(rightFd, two, sizeof two, offset);
    must_equal(path, "the size of a read", leftSize, rightSize);
    for (ssize_t i = 0; i < leftSize; i++)
      if (one[i] != two[i]) story_fail("%s: byte %lld is 0x%02x and 0x%02x", path, (long long)(offset + i), one[i] & 255, two[i] & 255);
    if (leftSize <= 0) break;
    offset += leftSize;
  }
  close(leftFd);
  close(rightFd);
}

static void compare_attributes(const char *path, const char *left, const char *right) {
  char *one = list_attributes(left), *two = list_attributes(right);
  if (!one != !two || (one && strcmp(one, two) != 0)) story_fail("%s: attributes are %s and %s", path, one ? one : "none", two ? two : "none");
  static char oneValue[1 << 16], twoValue[1 << 16];
  for (char *name = one ? strtok(one, "/") : NULL; name; name = strtok(NULL, "/")) {
    ssize_t oneSize = lgetxattr(left, name, oneValue, sizeof oneValue), twoSize = lgetxattr(right, name, twoValue, sizeof twoValue);
    must_equal(path, name, oneSize, twoSize);
    if (oneSize > 0 && memcmp(oneValue, twoValue, oneSize) != 0) story_fail("%s: the value of %s differs", path, name);
  }
  free(one);
  free(two);
}

static void compare_targets(const char *path, const char *left, const char *right) {
  char one[PATH_MAX] = "", two[PATH_MAX] = "";
  ssize_t oneSize = readlink(left, one, sizeof one - 1), twoSize = readlink(right, two, sizeof two - 1);
  must_equal(path, "the length of its target", oneSize, twoSize);
  if (strcmp(one, two) != 0) story_fail("%s: its targets are %s and %s", path, one, two);
}

static void compare_node(struct walk walks[2], const char *path, const char *left, const char *right) {
  struct stat one, two;
  if (lstat(left, &one) != 0 || lstat(right, &two) != 0) story_fail("%s: cannot be looked at: %s", path, strerror(errno));
  must_equal(path, "its mode", one.st_mode, two.st_mode);
  must_equal(path, "its owner", one.st_uid, two.st_uid);
  must_equal(path, "its group", one.st_gid, two.st_gid);
  must_equal(path, "its link count", one.st_nlink, two.st_nlink);
  if (!S_ISDIR(one.st_mode)) must_equal(path, "its size", one.st_size, two.st_size);
  must_equal(path, "its device number", one.st_rdev, two.st_rdev);
  must_equal(path, "its place among the inodes", number_of(&walks[0], one.st_ino), number_of(&walks[1], two.st_ino));
  if (S_ISREG(one.st_mode)) compare_bytes(path, left, right);
  if (S_ISLNK(one.st_mode)) compare_targets(path, left, right);
  compare_attributes(path, left, right);
  if (!S_ISDIR(one.st_mode)) return;
  char *names = list_names(left), *others = list_names(right), *rest = names;
  if (!names || !others) story_fail("%s: cannot be listed: %s", path, strerror(errno));
  if (strcmp(names, others) != 0) story_fail("%s: holds %s and %s", path, names, others);
  for (char *name; (name = strsep(&rest, "/")) && *name;) {
    if (!strcmp(name, ".") || !strcmp(name, "..")) continue;
    char *below = NULL, *leftBelow = NULL, *rightBelow = NULL;
    if (asprintf(&below, "%s/%s", path, name) < 0 || asprintf(&leftBelow, "%s/%s", left, name) < 0 || asprintf(&rightBelow, "%s/%s", right, name) < 0) abort();
    compare_node(walks, below, leftBelow, rightBelow);
    free(below);
    free(leftBelow);
    free(rightBelow);
  }
  free(names);
  free(others);
}

void compare_trees(const char *left, const char *right) {
  static struct walk walks[2];
  walks[0].count = walks[1].count = 0;
  compare_node(walks, ".", left, right);
}
