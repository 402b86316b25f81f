/*
 * Runs the POSIX cases: posix-cases --list | posix-cases DIRECTORY [PREFIX…].
 *
 * Prints one JSON line a case: {"name","status":"pass|fail|skip","detail","ms"}. A case is chosen when its name begins with a prefix.
 * Each case is a forked process in a directory of its own, removed afterwards; its process group is killed after CASE_SECONDS_MAX,
 * so that a hanging call is one failure and never the end of the run.
 */
#include "harness.h"
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { CASES_MAX = 4096, CASE_SECONDS_MAX = 40, DETAIL_MAX = 1500 };
enum { EXIT_PASSED = 0, EXIT_FAILED = 1, EXIT_SKIPPED = 2 };

struct posix_case {
  char *name;
  case_function run;
  const void *argument;
};

static struct posix_case cases[CASES_MAX];
static int caseCount;
/* The case and its children write their detail here; the first writer wins. */
static int detailFd = -1;

void add_case(const char *name, case_function run, const void *argument) {
  if (caseCount == CASES_MAX) abort();
  cases[caseCount++] = (struct posix_case){strdup(name), run, argument};
}

void add_case_named(case_function run, const void *argument, const char *format, ...) {
  char name[200];
  va_list list;
  va_start(list, format);
  vsnprintf(name, sizeof name, format, list);
  va_end(list);
  add_case(name, run, argument);
}

/* ── claims ── */

static void tell(const char *text) {
  size_t size = strlen(text);
  if (detailFd >= 0 && write(detailFd, text, size) != (ssize_t)size) _exit(EXIT_FAILED);
}

_Noreturn void fail_at(const char *file, int line, const char *format, ...) {
  char text[DETAIL_MAX];
  const char *base = strrchr(file, '/');
  int used = snprintf(text, sizeof text, "%s:%d: ", base ? base + 1 : file, line);
  va_list list;
  va_start(list, format);
  vsnprintf(text + used, sizeof text - used, format, list);
  va_end(list);
  tell(text);
  _exit(EXIT_FAILED);
}

_Noreturn void skip(const char *format, ...) {
  char text[DETAIL_MAX];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  tell(text);
  _exit(EXIT_SKIPPED);
}

static const char *name_of_error(int code) {
  const char *name = strerrorname_np(code);
  return name ? name : "?";
}

long check_ok(long result, const char *text, const char *file, int line) {
  if (result == -1) fail_at(file, line, "%s: %s (%s)", text, name_of_error(errno), strerror(errno));
  return result;
}

void check_error(long result, const int *wanted, const char *text, const char *file, int line) {
  int got = errno;
  if (result != -1) fail_at(file, line, "%s: gave %ld, expected %s", text, result, name_of_error(wanted[0]));
  for (const int *code = wanted; *code; code++)
    if (*code == got) return;
  fail_at(file, line, "%s: %s, expected %s", text, name_of_error(got), name_of_error(wanted[0]));
}

void check_equal(long long left, long long right, const char *leftText, const char *rightText, const char *file, int line) {
  if (left == right) return;
  fail_at(file, line, "%s is %lld (0%llo), expected %s = %lld (0%llo)", leftText, left, left, rightText, right, right);
}

/* ── processes ── */

static void take_ids(long uid, long gid, int groupCount, const gid_t *groups) {
  if (gid >= 0 && (setgroups(groupCount, groups) != 0 || setresgid(gid, gid, gid) != 0)) FAIL("cannot take group %ld", gid);
  if (uid >= 0 && setresuid(uid, uid, uid) != 0) FAIL("cannot take user %ld", uid);
  prctl(PR_SET_DUMPABLE, 1);
}

pid_t fork_child(void) {
  pid_t pid = fork();
  if (pid < 0) FAIL("fork: %s", strerror(errno));
  if (pid == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  return pid;
}

void join_child(pid_t pid) {
  int status;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) FAIL("waitpid: %s", strerror(errno));
  if (WIFSIGNALED(status)) FAIL("a child process died of signal %d", WTERMSIG(status));
  if (WEXITSTATUS(status) != EXIT_PASSED) _exit(WEXITSTATUS(status));
}

bool enter_child(long uid, long gid, int groupCount, const gid_t *groups) {
  pid_t pid = fork_child();
  if (pid == 0) {
    take_ids(uid, gid, groupCount, groups);
    return true;
  }
  join_child(pid);
  return false;
}

_Noreturn void leave_child(void) { _exit(EXIT_PASSED); }

void wait_until_asleep(pid_t pid) {
  char path[64], line[512];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  for (int attempt = 0, asleep = 0; attempt < 1000; attempt++) {
    FILE *file = fopen(path, "r");
    if (!file) FAIL("process %d is gone", pid);
    char *text = fgets(line, sizeof line, file);
    fclose(file);
    char *end = text ? strrchr(text, ')') : NULL;
    asleep = end && (end[2] == 'S' || end[2] == 'D') ? asleep + 1 : 0;
    if (asleep == 8) return; /* a short wait inside open() is not the one that is meant */
    sleep_ms(5);
  }
  FAIL("process %d does not wait", pid);
}

/* ── the runner ── */

/* Removes everything below an open directory; depth is bounded by PATH_MAX-like trees that cases make. */
static void remove_below(int dirFd) {
  DIR *dir = fdopendir(dirFd);
  if (!dir) {
    close(dirFd);
    return;
  }
  struct dirent *entry;
  while ((entry = readdir(dir))) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if (unlinkat(dirFd, entry->d_name, 0) == 0) continue;
    int child = openat(dirFd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (child >= 0) remove_below(child);
    unlinkat(dirFd, entry->d_name, AT_REMOVEDIR);
  }
  closedir(dir);
}

static bool remove_tree(const char *path) {
  for (int attempt = 0; attempt < 3; attempt++) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd >= 0) remove_below(fd);
    if (rmdir(path) == 0 || errno == ENOENT) return true;
  }
  return false;
}

static void run_in_child(const struct posix_case *chosen, const char *directory, int pipeFd) {
  setpgid(0, 0);
  detailFd = pipeFd;
  fcntl(detailFd, F_SETFD, FD_CLOEXEC);
  umask(0);
  if (mkdir(directory, 0755) != 0 || chdir(directory) != 0) FAIL("cannot make %s: %s", directory, strerror(errno));
  if (chmod(".", 0755) != 0) FAIL("cannot chmod %s: %s", directory, strerror(errno));
  chosen->run(chosen->argument);
  _exit(EXIT_PASSED);
}

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads the detail until the case ends or its time is up; returns false on time-out. */
static bool gather(pid_t pid, int fd, char *detail, int *status) {
  long endMs = now_ms() + CASE_SECONDS_MAX * 1000L;
  size_t used = 0;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  for (long pauseUs = 20; now_ms() < endMs; pauseUs = pauseUs < 2000 ? pauseUs * 2 : 2000) {
    pid_t done = waitpid(pid, status, WNOHANG);
    ssize_t got = used < DETAIL_MAX - 1 ? read(fd, detail + used, DETAIL_MAX - 1 - used) : 0;
    if (got > 0) used += got;
    detail[used] = 0;
    if (done == pid) return true;
    usleep(pauseUs);
  }
  return false;
}

static void print_json(const char *text) {
  putchar('"');
  for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
    if (*at == '"' || *at == '\\')
      printf("\\%c", *at);
    else if (*at < 0x20 || *at >= 0x7f)
      printf("\\u%04x", *at);
    else
      putchar(*at);
  }
  putchar('"');
}

static void report(const char *name, const char *status, const char *detail, long ms) {
  printf("{\"name\":");
  print_json(name);
  printf(",\"status\":\"%s\",\"detail\":", status);
  print_json(detail);
  printf(",\"ms\":%ld}\n", ms);
  fflush(stdout);
}

static bool run_case(const struct posix_case *chosen, const char *base, int number) {
  char directory[PATH_MAX + 64], detail[DETAIL_MAX + 64] = "";
  snprintf(directory, sizeof directory, "%s/case-%d-%d", base, (int)getpid(), number);
  int ends[2], status = 0;
  if (pipe(ends) != 0) abort();
  long beganMs = now_ms();
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    close(ends[0]);
    run_in_child(chosen, directory, ends[1]);
  }
  setpgid(pid, pid);
  close(ends[1]);
  bool isDone = gather(pid, ends[0], detail, &status);
  kill(-pid, SIGKILL);
  if (!isDone) {
    snprintf(detail, sizeof detail, "still running after %d s", CASE_SECONDS_MAX);
    for (int attempt = 0; attempt < 500 && waitpid(pid, &status, WNOHANG) != pid; attempt++) sleep_ms(10);
  } else if (WIFSIGNALED(status))
    snprintf(detail, sizeof detail, "died of signal %d", WTERMSIG(status));
  close(ends[0]);
  bool isClean = remove_tree(directory);
  const char *result = !isDone || WIFSIGNALED(status) || WEXITSTATUS(status) == EXIT_FAILED ? "fail"
                       : WEXITSTATUS(status) == EXIT_SKIPPED                                ? "skip"
                                                                                            : "pass";
  if (!isClean && strcmp(result, "fail") != 0) {
    result = "fail";
    snprintf(detail, sizeof detail, "cannot remove %.200s afterwards: %s", directory, strerror(errno));
  }
  report(chosen->name, result, detail, now_ms() - beganMs);
  return strcmp(result, "fail") != 0;
}

static bool is_chosen(const char *name, int count, char **prefixes) {
  for (int i = 0; i < count; i++)
    if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) return true;
  return count == 0;
}

static int by_name(const void *left, const void *right) {
  return strcmp(((const struct posix_case *)left)->name, ((const struct posix_case *)right)->name);
}

int main(int count, char **args) {
  qsort(cases, caseCount, sizeof cases[0], by_name);
  for (int i = 1; i < caseCount; i++)
    if (strcmp(cases[i - 1].name, cases[i].name) == 0) {
      fprintf(stderr, "two cases are named %s\n", cases[i].name);
      return 2;
    }
  if (count >= 2 && strcmp(args[1], "--list") == 0) {
    for (int i = 0; i < caseCount; i++)
      if (is_chosen(cases[i].name, count - 2, args + 2)) puts(cases[i].name);
    return 0;
  }
  if (count < 2) {
    fprintf(stderr, "use: %s --list [PREFIX...] | %s DIRECTORY [PREFIX...]\n", args[0], args[0]);
    return 2;
  }
  char base[PATH_MAX];
  if (geteuid() != 0 || !realpath(args[1], base)) {
    fprintf(stderr, "needs root and a directory: %s\n", args[1]);
    return 2;
  }
  /* A directory with a default ACL or a set-gid bit would change what the cases see. */
  struct rlimit files = {8192, 8192};
  setrlimit(RLIMIT_NOFILE, &files);
  signal(SIGPIPE, SIG_IGN);
  bool isFine = true;
  for (int i = 0; i < caseCount; i++)
    if (is_chosen(cases[i].name, count - 2, args + 2)) isFine = run_case(&cases[i], base, i) && isFine;
  return isFine ? 0 : 1;
}
