/*
 * Names and listings: what a name may be, what readdir gives, and that a listing neither loses nor repeats while things change.
 */
#include "harness.h"

/* ── names ── */

static void check_name(const char *name) {
  make_text(name, "content");
  check_text(name, "content");
  DIR *dir = opendir(".");
  struct dirent *entry;
  bool isListed = false;
  while ((entry = readdir(dir))) isListed = isListed || !strcmp(entry->d_name, name);
  OK(closedir(dir));
  TRUE(isListed);
  OK(rename(name, "plain"));
  OK(rename("plain", name));
  OK(unlink(name));
  TRUE(!exists(name));
}

CASE("names/of-255-bytes-are-fine-and-of-256-are-not") {
  check_name(long_name(255, 'n'));
  check_name(long_name(254, 'n'));
  ERR(ENAMETOOLONG, open(long_name(256, 'n'), O_CREAT | O_RDWR, 0644));
  ERR(ENAMETOOLONG, mkdir(long_name(256, 'n'), 0755));
  ERR(ENAMETOOLONG, open(long_name(2000, 'n'), O_CREAT | O_RDWR, 0644));
}

CASE("names/of-255-bytes-for-every-type") {
  char *name = long_name(255, 'x');
  OK(mkdir(name, 0755));
  OK(rmdir(name));
  OK(symlink("a", name));
  OK(unlink(name));
  OK(mkfifo(name, 0644));
  OK(unlink(name));
  make_file("file", 0644);
  OK(link("file", name));
  EQ(links_of("file"), 2);
}

CASE("names/every-byte-but-nul-and-slash") {
  for (int byte = 1; byte < 256; byte++) {
    if (byte == '/' || byte == '.') continue;
    char name[2] = {(char)byte, 0};
    make_text(name, name);
  }
  for (int byte = 1; byte < 256; byte++) {
    if (byte == '/' || byte == '.') continue;
    char name[2] = {(char)byte, 0};
    check_text(name, name);
  }
}

CASE("names/that-are-not-utf-8") {
  check_name("\xff");
  check_name("\xc3\x28");
  check_name("\xed\xa0\x80");
  check_name("\xf8\xa1\xa1\xa1\xa1");
  check_name("a\x80z");
}

CASE("names/255-bytes-of-0xff") { check_name(long_name(255, '\xff')); }

CASE("names/odd-ones") {
  check_name(" ");
  check_name("...");
  check_name(".hidden");
  check_name("-rf");
  check_name("new\nline");
  check_name("tab\tquote\"back\\slash");
  check_name("*?[]{}$");
  check_name("\xe2\x82\xac\xf0\x9f\x90\xa7");
  check_name("trailing ");
  check_name(".fuse_hidden0000000100000001");
}

CASE("names/composed-and-decomposed-differ") {
  make_text("\xc3\xa9", "composed");
  make_text("e\xcc\x81", "decomposed");
  check_text("\xc3\xa9", "composed");
  check_text("e\xcc\x81", "decomposed");
}

CASE("names/case-differs") {
  make_text("Name", "1");
  make_text("name", "2");
  check_text("Name", "1");
}

CASE("names/many-with-a-long-common-beginning") {
  char name[256];
  memset(name, 'p', 250);
  for (int i = 0; i < 500; i++) {
    snprintf(name + 250, 6, "%05d", i);
    make_file(name, 0644);
  }
  for (int i = 0; i < 500; i++) {
    snprintf(name + 250, 6, "%05d", i);
    TRUE(exists(name));
  }
}

/* ── listings ── */

/* Lists a directory of entries named by numbers; counts each in `seen`, returns how many others there were. */
static int list_numbers(DIR *dir, int *seen, int max) {
  struct dirent *entry;
  int others = 0;
  errno = 0;
  while ((entry = readdir(dir))) {
    char *end;
    long number = strtol(entry->d_name, &end, 10);
    if (*end == 0 && number >= 0 && number < max)
      seen[number]++;
    else
      others++;
  }
  EQ(errno, 0);
  return others;
}

static void make_numbers(const char *path, int count) {
  make_dir(path, 0755);
  int fd = open_or_fail(path, O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < count; i++) {
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    OK(mknodat(fd, name, S_IFREG | 0644, 0));
  }
  OK(close(fd));
}

CASE("readdir/empty-directory-has-dot-and-dot-dot") {
  make_dir("d", 0755);
  DIR *dir = opendir("d");
  struct dirent *entry;
  int dots = 0, dotDots = 0;
  while ((entry = readdir(dir))) {
    if (!strcmp(entry->d_name, ".")) {
      dots++;
      EQ(entry->d_ino, ino_of("d"));
      TRUE(entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN);
    } else if (!strcmp(entry->d_name, "..")) {
      dotDots++;
      EQ(entry->d_ino, ino_of("."));
      TRUE(entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN);
    } else
      FAIL("an entry %s in an empty directory", entry->d_name);
  }
  EQ(dots, 1);
  EQ(dotDots, 1);
}

CASE("readdir/inode-numbers-and-types-agree-with-stat") {
  make_file("file", 0644);
  make_dir("d", 0755);
  OK(symlink("x", "link"));
  OK(mkfifo("fifo", 0644));
  make_socket("socket");
  DIR *dir = opendir(".");
  struct dirent *entry;
  int count = 0;
  while ((entry = readdir(dir))) {
    if (entry->d_name[0] == '.') continue;
    struct stat found = stat_of(entry->d_name);
    EQ(entry->d_ino, found.st_ino);
    TRUE(entry->d_type == DT_UNKNOWN || entry->d_type == IFTODT(found.st_mode));
    count++;
  }
  EQ(count, 5);
}

CASE("readdir/ten-thousand-entries-each-once") {
  enum { COUNT = 10000 };
  make_numbers("d", COUNT);
  static int seen[COUNT];
  DIR *dir = opendir("d");
  EQ(list_numbers(dir, seen, COUNT), 2);
  for (int i = 0; i < COUNT; i++) EQ(seen[i], 1);
  drop_caches();
  memset(seen, 0, sizeof seen);
  rewinddir(dir);
  EQ(list_numbers(dir, seen, COUNT), 2);
  for (int i = 0; i < COUNT; i++) EQ(seen[i], 1);
}

CASE("readdir/removing-all-while-listing") {
  enum { COUNT = 3000 };
  make_numbers("d", COUNT);
  DIR *dir = opendir("d");
  struct dirent *entry;
  int removed = 0;
  while ((entry = readdir(dir)))
    if (entry->d_name[0] != '.') {
      OK(unlinkat(dirfd(dir), entry->d_name, 0));
      removed++;
    }
  EQ(removed, COUNT);
  OK(rmdir("d"));
}

CASE("readdir/untouched-entries-appear-once-while-others-come-and-go") {
  enum { COUNT = 2000 };
  make_numbers("d", COUNT);
  static int seen[COUNT];
  DIR *dir = opendir("d");
  struct dirent *entry;
  for (int step = 0; (entry = readdir(dir)); step++) {
    char *end;
    long number = strtol(entry->d_name, &end, 10);
    if (*end == 0) seen[number]++;
    if (step < 1000) make_file(format_text("d/new-%d", step), 0644);
    if (step % 4 == 0 && step < 1000) OK(unlink(format_text("d/new-%d", step)));
  }
  for (int i = 0; i < COUNT; i++) EQ(seen[i], 1);
}

CASE("readdir/removed-entries-before-their-turn-do-not-break-it") {
  enum { COUNT = 2000 };
  make_numbers("d", COUNT);
  static int seen[COUNT];
  DIR *dir = opendir("d");
  for (int i = 0; i < 10; i++) TRUE(readdir(dir) != NULL);
  for (int i = 0; i < COUNT; i += 2) OK(unlink(format_text("d/%d", i)));
  list_numbers(dir, seen, COUNT);
  int odd = 0;
  for (int i = 0; i < COUNT; i++) {
    TRUE(seen[i] <= 1);
    odd += i % 2 ? seen[i] : 0;
  }
  TRUE(odd >= COUNT / 2 - 10);
}

CASE("readdir/telldir-and-seekdir") {
  enum { COUNT = 500 };
  make_numbers("d", COUNT);
  DIR *dir = opendir("d");
  static long places[COUNT + 2];
  static char names[COUNT + 2][32];
  int count = 0;
  for (;;) {
    long place = telldir(dir);
    struct dirent *entry = readdir(dir);
    if (!entry) break;
    places[count] = place;
    snprintf(names[count++], 32, "%.31s", entry->d_name);
  }
  EQ(count, COUNT + 2);
  for (int i = count - 1; i >= 0; i -= 7) {
    seekdir(dir, places[i]);
    struct dirent *entry = readdir(dir);
    TRUE(entry != NULL);
    TRUE(!strcmp(entry->d_name, names[i]));
  }
}

CASE("readdir/cookie-stays-good-after-removals-and-in-another-descriptor") {
  enum { COUNT = 1000 };
  make_numbers("d", COUNT);
  static int seen[COUNT];
  DIR *dir = opendir("d");
  struct dirent *entry;
  for (int i = 0; i < 300; i++) {
    TRUE((entry = readdir(dir)) != NULL);
    char *end;
    long number = strtol(entry->d_name, &end, 10);
    if (*end == 0) seen[number] = 1;
  }
  long place = telldir(dir);
  for (int i = 0; i < COUNT; i++)
    if (seen[i]) OK(unlink(format_text("d/%d", i)));
  DIR *other = opendir("d");
  seekdir(other, place);
  static int rest[COUNT];
  list_numbers(other, rest, COUNT);
  for (int i = 0; i < COUNT; i++) EQ(seen[i] + rest[i], 1);
}

CASE("readdir/rewinddir-sees-new-entries") {
  make_dir("d", 0755);
  DIR *dir = opendir("d");
  while (readdir(dir)) continue;
  make_file("d/7", 0644);
  rewinddir(dir);
  static int seen[10];
  list_numbers(dir, seen, 10);
  EQ(seen[7], 1);
}

CASE("readdir/new-file-is-listed-at-once-and-removed-one-is-not") {
  make_dir("d", 0755);
  for (int i = 0; i < 50; i++) {
    int seen[50] = {0};
    make_file(format_text("d/%d", i), 0644);
    DIR *dir = opendir("d");
    list_numbers(dir, seen, 50);
    OK(closedir(dir));
    EQ(seen[i], 1);
    if (i > 0) EQ(seen[i - 1], 0);
    OK(unlink(format_text("d/%d", i)));
  }
}

CASE("readdir/small-buffer-and-raw-call") {
  make_numbers("d", 300);
  int fd = open_or_fail("d", O_RDONLY | O_DIRECTORY), count = 0;
  char buffer[128] __attribute__((aligned(8)));
  for (long got; (got = OK(syscall(SYS_getdents64, fd, buffer, sizeof buffer))) > 0;)
    for (long at = 0; at < got; count++) at += *(unsigned short *)(buffer + at + 16);
  EQ(count, 302);
  ERR(EINVAL, syscall(SYS_getdents64, open_or_fail("d", O_RDONLY | O_DIRECTORY), buffer, 10));
  ERR(ENOTDIR, syscall(SYS_getdents64, open_or_fail("d/1", O_RDONLY), buffer, 128));
}

CASE("readdir/two-descriptors-do-not-disturb-each-other") {
  make_numbers("d", 1000);
  DIR *one = opendir("d"), *two = opendir("d");
  int countOne = 0, countTwo = 0;
  while (readdir(one)) {
    countOne++;
    if (readdir(two)) countTwo++;
  }
  while (readdir(two)) countTwo++;
  EQ(countOne, 1002);
  EQ(countTwo, 1002);
}

CASE("readdir/permission-is-asked-at-open") {
  make_dir_of("d", ALICE, ALICE, 0711);
  AS(BOB, BOB) { TRUE(opendir("d") == NULL && errno == EACCES); }
  AS(ALICE, ALICE) {
    DIR *dir = opendir("d");
    OK(chmod("d", 0));
    TRUE(readdir(dir) != NULL);
  }
}

CASE("readdir/directory-renamed-while-listing") {
  make_numbers("d", 2000);
  static int seen[2000];
  DIR *dir = opendir("d");
  TRUE(readdir(dir) != NULL);
  OK(rename("d", "e"));
  list_numbers(dir, seen, 2000);
  int count = 0;
  for (int i = 0; i < 2000; i++) count += seen[i];
  TRUE(count >= 1999);
}

CASE("readdir/parallel-creators-lose-nothing") {
  make_dir("d", 0755);
  pid_t children[4];
  for (int c = 0; c < 4; c++)
    if ((children[c] = fork_child()) == 0) {
      for (int i = 0; i < 250; i++) make_file(format_text("d/%d", c * 250 + i), 0644);
      leave_child();
    }
  for (int c = 0; c < 4; c++) join_child(children[c]);
  static int seen[1000];
  EQ(list_numbers(opendir("d"), seen, 1000), 2);
  for (int i = 0; i < 1000; i++) EQ(seen[i], 1);
}
