/*
 * The differential tester: differential LEFT RIGHT SEED STEPS [plant STEP KIND].
 *
 * The same random steps are done in two directories on two file systems. Results and errnos of every step must be equal, and after each
 * batch the whole trees. A quarter of the steps run as an ordinary user. Names come from a small pool, so that steps meet each other. `plant`
 * makes the right side wrong at a step, to show that the tester sees it.
 */
#include "tree.h"
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { SLOTS = 10, FILE_MAX = 3 << 20, PATH_BYTES = 160, BATCH = 200, USER = 40001 };

/* Where a step acts: one of two sides. */
static const char *roots[2];
/* The same open file on both sides, -1 when free. */
static int slots[SLOTS][2];
static char content[FILE_MAX];
/* The slot that was last given a file without a name. */
static size_t namelessSlot;

static const char *const dirNames[] = {"da", "db", "dc"};
static const char *const fileNames[] = {"fa", "fb", "fc", "fd", "a name with spaces", "\xff\xfe", "ge"};

/* A path of one to four components, most often of names that exist. */
static void pick_path(char *path) {
  *path = 0;
  size_t luck = pick(100), depth = luck < 50 ? 0 : luck < 80 ? 1 : luck < 94 ? 2 : 3;
  for (size_t i = 0; i < depth; i++) {
    strcat(path, dirNames[pick(3)]);
    strcat(path, "/");
  }
  strcat(path, chance(25) ? dirNames[pick(3)] : fileNames[pick(sizeof fileNames / sizeof fileNames[0])]);
}

/* The parameters of a step, drawn once and used on both sides. */
struct step {
  char path[PATH_BYTES], other[PATH_BYTES];
  size_t offset, size, slot, otherSlot;
  unsigned number;
  bool asUser;
};

/* What a side answered: a result and an errno, and what was read. */
struct answer {
  long result;
  int error;
  uint64_t hash;
};

typedef long (*action)(const struct step *step, int side, uint64_t *hash);

static char *full(int side, const char *path) {
  static char buffers[4][PATH_BYTES + 256];
  static int next;
  char *buffer = buffers[next++ % 4];
  snprintf(buffer, sizeof buffers[0], "%s/%s", roots[side], path);
  return buffer;
}

static long act_open(const struct step *step, int side, uint64_t *hash) {
  static const int flags[] = {O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_EXCL, O_RDWR | O_CREAT | O_TRUNC, O_RDWR | O_CREAT | O_APPEND, O_RDWR, O_RDONLY, O_WRONLY};
  (void)hash;
  /* Without waiting, or a FIFO would end the story. */
  int fd = open(full(side, step->path), flags[step->number % 7] | O_NONBLOCK, 0600 | (step->number & 0177));
  if (fd < 0) return -1;
  if (slots[step->slot][side] >= 0) close(slots[step->slot][side]);
  slots[step->slot][side] = fd;
  return 0;
}
static long act_tmpfile(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  int fd = open(full(side, dirNames[step->number % 3]), O_TMPFILE | O_RDWR, 0640);
  if (fd < 0) return -1;
  if (slots[step->slot][side] >= 0) close(slots[step->slot][side]);
  slots[step->slot][side] = fd;
  namelessSlot = step->slot;
  return 0;
}
static long act_link_slot(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  return linkat(slots[namelessSlot][side], "", AT_FDCWD, full(side, step->path), AT_EMPTY_PATH);
}
static long act_close(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  if (slots[step->slot][side] < 0) return 0;
  long result = close(slots[step->slot][side]);
  slots[step->slot][side] = -1;
  return result;
}
static long act_write(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  return pwrite(slots[step->slot][side], content, step->size, step->offset);
}
static long act_append(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  lseek(slots[step->slot][side], 0, SEEK_END);
  return write(slots[step->slot][side], content, step->size % 20000);
}
static long act_read(const struct step *step, int side, uint64_t *hash) {
  static char buffer[FILE_MAX];
  long got = pread(slots[step->slot][side], buffer, step->size, step->offset);
  if (got > 0) *hash = hash_bytes(*hash, buffer, got);
  return got;
}
static long act_truncate(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  return truncate(full(side, step->path), step->offset);
}
static long act_ftruncate(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  return ftruncate(slots[step->slot][side], step->offset);
}
static long act_fallocate(const struct step *step, int side, uint64_t *hash) {
  static const int modes[] = {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, FALLOC_FL_KEEP_SIZE};
  (void)hash;
  return fallocate(slots[step->slot][side], modes[step->number % 6], step->offset, step->size);
}
/* The size of a directory, and where it ends, is each file system's own affair. */
static bool is_directory(int fd) {
  struct stat found;
  return fstat(fd, &found) == 0 && S_ISDIR(found.st_mode);
}
static long act_map_write(const struct step *step, int side, uint64_t *hash) {
  struct stat found;
  (void)hash;
  int fd = slots[step->slot][side];
  if (fstat(fd, &found) != 0) return -1;
  if (is_directory(fd)) return 0;
  if ((off_t)step->offset >= found.st_size) return 0;
  size_t size = step->offset + step->size > (size_t)found.st_size ? found.st_size - step->offset : step->size, begin = step->offset & ~4095ul;
  if (size == 0) return 0;
  char *map = mmap(NULL, step->offset + size - begin, PROT_READ | PROT_WRITE, MAP_SHARED, fd, begin);
  if (map == MAP_FAILED) return -1;
  memcpy(map + (step->offset - begin), content, size);
  if (step->number % 4 == 0) msync(map, step->offset + size - begin, MS_SYNC);
  return munmap(map, step->offset + size - begin);
}
static long act_copy(const struct step *step, int side, uint64_t *hash) {
  loff_t from = step->offset, to = step->number % (1 << 20);
  long total = 0, done;
  (void)hash;
  for (size_t left = step->size; left > 0; left -= done, total += done) {
    done = copy_file_range(slots[step->slot][side], &from, slots[step->otherSlot][side], &to, left, 0);
    if (done < 0) return -1;
    if (done == 0) break;
  }
  return total;
}
static long act_fsync(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  return step->number % 2 ? fsync(slots[step->slot][side]) : fdatasync(slots[step->slot][side]);
}
static long act_rename(const struct step *step, int side, uint64_t *hash) {
  static const unsigned flags[] = {0, 0, 0, 1, 2, 2, 4};
  (void)hash;
  return syscall(SYS_renameat2, AT_FDCWD, full(side, step->path), AT_FDCWD, full(side, step->other), flags[step->number % 7]);
}
static long act_link(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  return link(full(side, step->path), full(side, step->other));
}
static long act_symlink(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  return symlink(step->other, full(side, step->path));
}
static long act_readlink(const struct step *step, int side, uint64_t *hash) {
  char text[PATH_BYTES];
  long size = readlink(full(side, step->path), text, sizeof text);
  if (size > 0) *hash = hash_bytes(*hash, text, size);
  return size;
}
static long act_unlink(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  return unlink(full(side, step->path));
}
static long act_mkdir(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  return mkdir(full(side, step->path), 0700 | (step->number & 03077));
}
static long act_rmdir(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  return rmdir(full(side, step->path));
}
static long act_mknod(const struct step *step, int side, uint64_t *hash) {
  static const mode_t types[] = {S_IFIFO, S_IFSOCK, S_IFREG, S_IFCHR};
  (void)hash;
  mode_t type = types[step->number % 4];
  return mknod(full(side, step->path), type | 0644, type == S_IFCHR ? makedev(1, 3) : 0);
}
static long act_chmod(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  return chmod(full(side, step->path), step->number % 3 ? 0600 | (step->number & 07177) : 0755);
}
static long act_chown(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  return lchown(full(side, step->path), step->number % 2 ? USER : 0, step->number % 3 ? USER : 0);
}
static long act_setxattr(const struct step *step, int side, uint64_t *hash) {
  static const char *const names[] = {"user.a", "user.b", "user.longer-name", "trusted.t"};
  (void)hash;
  return lsetxattr(full(side, step->path), names[step->number % 4], content, step->size % 200, step->number / 4 % 3);
}
static long act_removexattr(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  return lremovexattr(full(side, step->path), step->number % 2 ? "user.a" : "user.b");
}
static long act_getxattr(const struct step *step, int side, uint64_t *hash) {
  char value[256];
  long size = lgetxattr(full(side, step->path), step->number % 2 ? "user.a" : "user.b", value, sizeof value);
  if (size > 0) *hash = hash_bytes(*hash, value, size);
  return size;
}
static long act_list(const struct step *step, int side, uint64_t *hash) {
  char *names = list_names(full(side, step->number % 3 ? dirNames[step->number % 3] : step->path));
  if (!names) return -1;
  *hash = hash_bytes(*hash, names, strlen(names));
  free(names);
  return 0;
}
static long act_stat(const struct step *step, int side, uint64_t *hash) {
  struct stat found;
  if ((step->number % 2 ? stat : lstat)(full(side, step->path), &found) != 0) return -1;
  long long fields[] = {found.st_mode, found.st_uid, found.st_gid, found.st_nlink, S_ISDIR(found.st_mode) ? 0 : found.st_size};
  *hash = hash_bytes(*hash, fields, sizeof fields);
  return 0;
}
static long act_fstat(const struct step *step, int side, uint64_t *hash) {
  struct stat found;
  if (fstat(slots[step->slot][side], &found) != 0) return -1;
  long long fields[] = {found.st_mode, found.st_uid, found.st_gid, found.st_nlink, S_ISDIR(found.st_mode) ? 0 : found.st_size};
  *hash = hash_bytes(*hash, fields, sizeof fields);
  return 0;
}
static long act_times(const struct step *step, int side, uint64_t *hash) {
  struct timespec times[2] = {{step->offset, step->number % 1000000000}, {step->size, 123456789}};
  char *path = full(side, step->path);
  if (utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) != 0) return -1;
  struct stat found;
  if (lstat(path, &found) != 0) return -1;
  *hash = hash_bytes(hash_bytes(*hash, &found.st_atim, sizeof found.st_atim), &found.st_mtim, sizeof found.st_mtim);
  return 0;
}
static long act_access(const struct step *step, int side, uint64_t *hash) {
  (void)hash;
  return faccessat(AT_FDCWD, full(side, step->path), step->number % 8, AT_EACCESS);
}
static long act_hole(const struct step *step, int side, uint64_t *hash) {
  /* Where holes begin is the file system's own affair; what they read as is not: the byte at the found place. */
  if (is_directory(slots[step->slot][side])) return 0;
  off_t at = lseek(slots[step->slot][side], step->offset, SEEK_HOLE);
  char byte = 0;
  if (at >= 0 && pread(slots[step->slot][side], &byte, 1, at) > 0 && byte != 0) story_fail("SEEK_HOLE of the %s side gives data", side ? "right" : "left");
  (void)hash;
  return at < 0 ? -1 : 0;
}

struct kind {
  const char *name;
  action run;
  unsigned weight;
  /* How often it was done, and how often it succeeded. */
  long tries, successes;
};
static struct kind kinds[] = {
    {"open", act_open, 14, 0, 0},       {"tmpfile", act_tmpfile, 2, 0, 0},       {"link-slot", act_link_slot, 2, 0, 0}, {"close", act_close, 2, 0, 0},           {"write", act_write, 14, 0, 0},
    {"append", act_append, 4, 0, 0},    {"read", act_read, 8, 0, 0},             {"truncate", act_truncate, 3, 0, 0},   {"ftruncate", act_ftruncate, 4, 0, 0},   {"fallocate", act_fallocate, 5, 0, 0},
    {"map-write", act_map_write, 4, 0, 0}, {"copy", act_copy, 3, 0, 0},          {"fsync", act_fsync, 2, 0, 0},         {"rename", act_rename, 9, 0, 0},         {"link", act_link, 4, 0, 0},
    {"symlink", act_symlink, 3, 0, 0},  {"readlink", act_readlink, 1, 0, 0},     {"unlink", act_unlink, 7, 0, 0},       {"mkdir", act_mkdir, 7, 0, 0},           {"rmdir", act_rmdir, 3, 0, 0},
    {"mknod", act_mknod, 2, 0, 0},      {"chmod", act_chmod, 4, 0, 0},           {"chown", act_chown, 3, 0, 0},         {"setxattr", act_setxattr, 4, 0, 0},     {"removexattr", act_removexattr, 2, 0, 0},
    {"getxattr", act_getxattr, 2, 0, 0}, {"list", act_list, 3, 0, 0},            {"stat", act_stat, 5, 0, 0},           {"fstat", act_fstat, 3, 0, 0},           {"times", act_times, 2, 0, 0},
    {"access", act_access, 2, 0, 0},    {"hole", act_hole, 2, 0, 0},
};

static struct kind *pick_kind(void) {
  unsigned total = 0;
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) total += kinds[i].weight;
  unsigned at = pick(total);
  struct kind *kind = kinds;
  while (at >= kind->weight) at -= kind++->weight;
  return kind;
}

/* Only the calling thread's ids, and back: a step must never lose the way to root. */
static void become(uid_t uid) {
  if (uid == 0 && (seteuid(0) != 0 || setegid(0) != 0)) abort();
  if (uid != 0 && (setegid(uid) != 0 || seteuid(uid) != 0)) abort();
}

static struct answer run_side(const struct kind *kind, const struct step *step, int side) {
  struct answer answer = {0, 0, 7};
  if (step->asUser) become(USER);
  errno = 0;
  answer.result = kind->run(step, side, &answer.hash);
  answer.error = answer.result < 0 ? errno : 0;
  if (step->asUser) become(0);
  return answer;
}

static void run_step(void) {
  struct kind *kind = pick_kind();
  struct step step = {.number = pick(1u << 30), .slot = pick(SLOTS), .otherSlot = pick(SLOTS), .asUser = chance(25)};
  pick_path(step.path);
  pick_path(step.other);
  step.offset = pick_size(FILE_MAX / 2);
  step.size = pick_size(chance(10) ? FILE_MAX / 2 : 150000);
  pick_bytes(content, step.size < 64 ? 64 : step.size);
  story_tell("%s%s %s | %s slot %zu,%zu offset %zu size %zu number %u", step.asUser ? "(user) " : "", kind->name, step.path, step.other, step.slot, step.otherSlot, step.offset, step.size, step.number);
  struct answer left = run_side(kind, &step, 0), right = run_side(kind, &step, 1);
  if (left.error != right.error) story_fail("%s of %s: %s and %s", kind->name, step.path, error_name(left.error), error_name(right.error));
  if (left.result != right.result) story_fail("%s of %s: gave %ld and %ld", kind->name, step.path, left.result, right.result);
  if (left.hash != right.hash) story_fail("%s of %s: what was read differs", kind->name, step.path);
  kind->tries++;
  kind->successes += left.result >= 0;
}

/* Makes one file on both sides that no step touches, and changes it on the right. */
static void plant(const char *kind) {
  int fd = -1;
  for (int side = 0; side < 2; side++) {
    fd = open(full(side, "victim"), O_RDWR | O_CREAT | O_EXCL, 0644);
    if (fd < 0 || ftruncate(fd, 100) != 0) abort();
  }
  char *path = full(1, "victim");
  if (!strcmp(kind, "content") && pwrite(fd, "!", 1, 5) != 1) abort();
  if (!strcmp(kind, "mode") && fchmod(fd, 0421) != 0) abort();
  if (!strcmp(kind, "attribute") && fsetxattr(fd, "user.planted", "x", 1, 0) != 0) abort();
  if (!strcmp(kind, "name") && rename(path, full(1, "planted")) != 0) abort();
  if (!strcmp(kind, "link") && link(path, full(1, "planted")) != 0) abort();
  if (!strcmp(kind, "size") && ftruncate(fd, 101) != 0) abort();
  close(fd);
}

int main(int count, char **args) {
  if (count != 5 && count != 8) {
    fprintf(stderr, "use: %s LEFT RIGHT SEED STEPS [plant STEP content|mode|attribute|name|link|size]\n", args[0]);
    return 2;
  }
  for (int side = 0; side < 2; side++) roots[side] = args[1 + side];
  memset(slots, -1, sizeof slots);
  umask(0);
  if (geteuid() != 0 || chmod(roots[0], 0777) != 0 || chmod(roots[1], 0777) != 0) {
    fprintf(stderr, "needs root and two directories\n");
    return 2;
  }
  story_begin(strtoull(args[3], NULL, 10));
  long steps = strtol(args[4], NULL, 10), plantStep = count == 8 ? strtol(args[6], NULL, 10) : -1;
  for (story.step = 0; story.step < steps; story.step++) {
    run_step();
    if (story.step == plantStep) plant(args[7]);
    if (story.step % BATCH == BATCH - 1) compare_trees(roots[0], roots[1]);
  }
  compare_trees(roots[0], roots[1]);
  for (int slot = 0; slot < SLOTS; slot++)
    for (int side = 0; side < 2; side++)
      if (slots[slot][side] >= 0) close(slots[slot][side]);
  printf("equal after %ld steps; succeeded:", steps);
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) printf(" %s %ld/%ld", kinds[i].name, kinds[i].successes, kinds[i].tries);
  printf("\n");
  return 0;
}
