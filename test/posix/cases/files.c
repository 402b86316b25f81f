/*
 * What cases need to set a scene and to look at it afterwards; every function fails the case when it cannot do its work.
 */
#include "harness.h"

void make_file(const char *path, mode_t mode) {
  int fd = OK(open(path, O_CREAT | O_EXCL | O_WRONLY, mode));
  OK(fchmod(fd, mode));
  OK(close(fd));
}

void make_file_with(const char *path, const void *bytes, size_t size) {
  int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
  if (fd < 0) FAIL("make %s: %s", path, strerror(errno));
  for (size_t done = 0; done < size;) done += OK(write(fd, (const char *)bytes + done, size - done));
  OK(close(fd));
}

void make_text(const char *path, const char *text) { make_file_with(path, text, strlen(text)); }

void make_dir(const char *path, mode_t mode) {
  if (mkdir(path, 0755) != 0) FAIL("mkdir %s: %s", path, strerror(errno));
  OK(chmod(path, mode));
}

void make_dir_of(const char *path, uid_t uid, gid_t gid, mode_t mode) {
  make_dir(path, 0755);
  OK(chown(path, uid, gid));
  OK(chmod(path, mode));
}

void make_file_of(const char *path, uid_t uid, gid_t gid, mode_t mode) {
  make_file(path, 0644);
  OK(chown(path, uid, gid));
  OK(chmod(path, mode));
}

void make_socket(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  int fd = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(bind(fd, (struct sockaddr *)&address, sizeof address));
  OK(close(fd));
}

int open_or_fail(const char *path, int flags) {
  int fd = open(path, flags, 0644);
  if (fd < 0) FAIL("open %s with flags 0%o: %s", path, flags, strerror(errno));
  return fd;
}

struct stat stat_of(const char *path) {
  struct stat found;
  if (lstat(path, &found) != 0) FAIL("lstat %s: %s", path, strerror(errno));
  return found;
}

mode_t mode_of(const char *path) { return stat_of(path).st_mode & 07777; }
nlink_t links_of(const char *path) { return stat_of(path).st_nlink; }
off_t size_of(const char *path) { return stat_of(path).st_size; }
ino_t ino_of(const char *path) { return stat_of(path).st_ino; }

bool exists(const char *path) {
  struct stat found;
  if (lstat(path, &found) == 0) return true;
  if (errno != ENOENT) FAIL("lstat %s: %s", path, strerror(errno));
  return false;
}

void check_range(int fd, off_t offset, const void *bytes, size_t size) {
  static char buffer[65536];
  for (size_t done = 0; done < size;) {
    size_t want = size - done < sizeof buffer ? size - done : sizeof buffer;
    ssize_t got = pread(fd, buffer, want, offset + done);
    if (got < 0) FAIL("read at %lld: %s", (long long)(offset + done), strerror(errno));
    if (got == 0) FAIL("the file ends at %lld, expected %zu bytes more", (long long)(offset + done), size - done);
    for (ssize_t i = 0; i < got; i++)
      if (buffer[i] != ((const char *)bytes)[done + i])
        FAIL("byte %lld is 0x%02x, expected 0x%02x", (long long)(offset + done + i), buffer[i] & 255, ((const char *)bytes)[done + i] & 255);
    done += got;
  }
}

void check_bytes(const char *path, const void *bytes, size_t size) {
  int fd = open_or_fail(path, O_RDONLY);
  struct stat found;
  OK(fstat(fd, &found));
  EQ(found.st_size, size);
  check_range(fd, 0, bytes, size);
  char extra;
  EQ(pread(fd, &extra, 1, size), 0);
  OK(close(fd));
}

void check_text(const char *path, const char *text) { check_bytes(path, text, strlen(text)); }

void check_zeros(int fd, off_t offset, size_t size) {
  static const char zeros[65536];
  for (size_t done = 0; done < size; done += sizeof zeros)
    check_range(fd, offset + done, zeros, size - done < sizeof zeros ? size - done : sizeof zeros);
}

void fill_pattern(void *buffer, size_t size, off_t offset, unsigned seed) {
  unsigned char *bytes = buffer;
  for (size_t i = 0; i < size; i++) {
    uint64_t mixed = (uint64_t)(offset + i + 1) * 0x9E3779B97F4A7C15ull + (uint64_t)seed * 0xC2B2AE3D27D4EB4Full;
    unsigned char byte = (mixed ^ (mixed >> 29)) >> 24;
    bytes[i] = byte ? byte : 1; /* never zero, so that a hole shows */
  }
}

void write_pattern(int fd, off_t offset, size_t size, unsigned seed) {
  static char buffer[1 << 20];
  for (size_t done = 0; done < size;) {
    size_t part = size - done < sizeof buffer ? size - done : sizeof buffer;
    fill_pattern(buffer, part, offset + done, seed);
    ssize_t put = OK(pwrite(fd, buffer, part, offset + done));
    done += put;
  }
}

void check_pattern(int fd, off_t offset, size_t size, unsigned seed) {
  static char buffer[1 << 20];
  for (size_t done = 0; done < size;) {
    size_t part = size - done < sizeof buffer ? size - done : sizeof buffer;
    fill_pattern(buffer, part, offset + done, seed);
    check_range(fd, offset + done, buffer, part);
    done += part;
  }
}

void sleep_ms(long ms) {
  struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&pause, &pause) != 0 && errno == EINTR) continue;
}

void tick(void) { sleep_ms(12); }

int compare_times(struct timespec left, struct timespec right) {
  if (left.tv_sec != right.tv_sec) return left.tv_sec < right.tv_sec ? -1 : 1;
  return left.tv_nsec < right.tv_nsec ? -1 : left.tv_nsec > right.tv_nsec;
}

char *long_name(size_t size, char letter) {
  char *name = malloc(size + 1);
  memset(name, letter, size);
  name[size] = 0;
  return name;
}

char *format_text(const char *format, ...) {
  char *text = NULL;
  va_list list;
  va_start(list, format);
  if (vasprintf(&text, format, list) < 0) FAIL("out of memory");
  va_end(list);
  return text;
}

void *bad_pointer(void) { return (void *)1; }

void drop_caches(void) {
  int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
  if (fd < 0 || write(fd, "3", 1) != 1) skip("cannot drop caches: %s", strerror(errno));
  OK(close(fd));
}

int rename2(const char *source, const char *target, unsigned flags) {
  return syscall(SYS_renameat2, AT_FDCWD, source, AT_FDCWD, target, flags);
}
