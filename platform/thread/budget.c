/// platform/thread/budget.c: how many CPUs this process may use: its affinity, bounded by the CPU quotas of its control
/// groups (G5).
///
/// /proc/self/cgroup names our group in each hierarchy: `0::/a/b` in version 2, `4:cpu,cpuacct:/a/b` in version 1. A
/// quota on any ancestor binds as well, so every directory from the group up to the mount's root is read:
///
///     version 2   cpu.max                                 "150000 100000" or "max 100000"
///     version 1   cpu.cfs_quota_us, cpu.cfs_period_us     "150000" (or "-1"), "100000"
///
/// A container often sees only its own part of the hierarchy, mounted as if it were the root, while /proc/self/cgroup
/// still tells the whole path. /proc/self/mountinfo says which part is mounted where: that prefix is taken off. Where
/// it says nothing, the customary places are tried. Directories that do not exist bind nothing.
#include "platform/thread.h"
#include "platform/memory.h"
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 }; // what parse_mount reads, with the NUL

#if defined(__linux__)
static int affinity_of_system(void) {
  for (int cpus = CPU_SETSIZE; cpus <= (1 << 20); cpus *= 2) { // EINVAL: the kernel's set is larger than ours
    cpu_set_t *set = CPU_ALLOC(cpus);
    if (set == NULL) return 1;
    size_t bytes = CPU_ALLOC_SIZE(cpus);
    int got = sched_getaffinity(0, bytes, set);
    int count = got == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (got == 0) return count;
    if (errno != EINVAL) return 1;
  }
  return 1;
}
#else
static int affinity_of_system(void) {
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 && count < INT_MAX ? (int)count : 1;
}
#endif

/// One number of CPUs from a quota; INT_MAX: no bound.
static int bound_of(long long quota, long long period) {
  if (quota <= 0 || period <= 0) return INT_MAX;
  long long cpus = quota / period + (quota % period != 0);
  return cpus < INT_MAX ? (int)cpus : INT_MAX;
}

/// The first line of <directory>/<name>. returns: 0 if there is none.
static int read_line(const char *directory, const char *name, char *line, int bytes) {
  char path[PATH_BYTES];
  int length = snprintf(path, sizeof path, "%s/%s", directory, name);
  if (length < 0 || (size_t)length >= sizeof path) return 0;
  FILE *file = fopen(path, "re");
  if (file == NULL) return 0;
  int got = fgets(line, bytes, file) != NULL;
  fclose(file);
  return got;
}

static int bound_v2(const char *directory) {
  char line[128];
  long long quota, period;
  if (!read_line(directory, "cpu.max", line, sizeof line)) return INT_MAX;
  if (sscanf(line, "%lld %lld", &quota, &period) != 2) return INT_MAX; // "max 100000"
  return bound_of(quota, period);
}

static int bound_v1(const char *directory) {
  char quota[64], period[64];
  if (!read_line(directory, "cpu.cfs_quota_us", quota, sizeof quota)) return INT_MAX;
  if (!read_line(directory, "cpu.cfs_period_us", period, sizeof period)) return INT_MAX;
  return bound_of(atoll(quota), atoll(period));
}

/// The least bound over <mount><group> and all its ancestors down to <mount>.
static int bound_of_chain(const char *mount, const char *group, int (*bound)(const char *directory)) {
  char directory[PATH_BYTES];
  size_t root = strlen(mount);
  if (strstr(group, "/..") != NULL) group = ""; // outside of our view: only the root is ours to see
  int length = snprintf(directory, sizeof directory, "%s%s", mount, group);
  if (length < 0 || (size_t)length >= sizeof directory) return INT_MAX;
  int least = INT_MAX;
  for (;;) {
    int one = bound(directory);
    if (one < least) least = one;
    char *slash = strrchr(directory, '/');
    if (slash == NULL || (size_t)(slash - directory) < root) return least;
    *slash = '\0';
  }
}

/// Whether a comma-separated list holds "cpu".
static int lists_cpu(const char *list) {
  while (*list != '\0') {
    size_t length = strcspn(list, ",");
    if (length == 3 && memcmp(list, "cpu", 3) == 0) return 1;
    list += length + (list[length] == ',');
  }
  return 0;
}

/// Takes the part of the hierarchy that is not mounted off the front of group.
static const char *below_mounted(const char *group, const char *mounted) {
  size_t length = strlen(mounted);
  if (strcmp(mounted, "/") == 0) return group;
  if (strncmp(group, mounted, length) == 0 && (group[length] == '/' || group[length] == '\0')) return group + length;
  return group;
}

/// One hierarchy in which the process has a group.
struct hierarchy {
  int version;            ///< 1 or 2
  const char *group;      ///< the path in /proc/self/cgroup
};

/// What one line of mountinfo mounts: `36 35 98:0 /mounted /mount/point options - type source super,options`.
struct mount {
  char mounted[PATH_BYTES];
  char point[PATH_BYTES];
  int version; ///< 2, 1 with the cpu controller, or 0: of no interest
};

static int parse_mount(const char *line, struct mount *mount) {
  char type[32], super[1024];
  if (sscanf(line, "%*d %*d %*s %4095s %4095s", mount->mounted, mount->point) != 2) return 0;
  const char *tail = strstr(line, " - ");
  if (tail == NULL || sscanf(tail, " - %31s %*s %1023s", type, super) != 2) return 0;
  mount->version = strcmp(type, "cgroup2") == 0 ? 2 : strcmp(type, "cgroup") == 0 && lists_cpu(super) ? 1 : 0;
  return mount->version != 0;
}

/// Bounds of every place where mountinfo says this hierarchy is mounted. returns: how many there were.
static int bound_by_mountinfo(const char *root, struct hierarchy hierarchy, int *least) {
  char path[PATH_BYTES];
  int length = snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
  if (length < 0 || (size_t)length >= sizeof path) return 0;
  FILE *file = fopen(path, "re");
  struct mount *mount = ecru__malloc(sizeof *mount);
  char *line = NULL;
  size_t line_bytes = 0;
  int found = 0;
  while (file != NULL && mount != NULL && getline(&line, &line_bytes, file) > 0) {
    if (!parse_mount(line, mount) || mount->version != hierarchy.version) continue;
    length = snprintf(path, sizeof path, "%s%s", root, mount->point);
    if (length < 0 || (size_t)length >= sizeof path) continue;
    int one = bound_of_chain(path, below_mounted(hierarchy.group, mount->mounted), hierarchy.version == 2 ? bound_v2 : bound_v1);
    if (one < *least) *least = one;
    found++;
  }
  free(line);
  ecru__free(mount);
  if (file != NULL) fclose(file);
  return found;
}

static int bound_by_custom(const char *root, struct hierarchy hierarchy) {
  static const char *const places_v2[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified", NULL};
  static const char *const places_v1[] = {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", NULL};
  int least = INT_MAX;
  for (const char *const *place = hierarchy.version == 2 ? places_v2 : places_v1; *place != NULL; place++) {
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s%s", root, *place);
    if (length < 0 || (size_t)length >= sizeof path) continue;
    int one = bound_of_chain(path, hierarchy.group, hierarchy.version == 2 ? bound_v2 : bound_v1);
    if (one < least) least = one;
  }
  return least;
}

/// Splits `id:controllers:/path`. returns: 0 if the line is none, or of a hierarchy without the cpu controller.
static int parse_group(char *line, struct hierarchy *hierarchy) {
  line[strcspn(line, "\n")] = '\0';
  char *controllers = strchr(line, ':');
  char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
  if (group == NULL) return 0;
  *group++ = '\0';
  controllers++;
  hierarchy->group = strcmp(group, "/") == 0 ? "" : group;
  hierarchy->version = controllers[0] == '\0' ? 2 : 1;
  return hierarchy->version == 2 || lists_cpu(controllers);
}

static int bound_of_groups(const char *root) {
  char path[PATH_BYTES];
  int length = snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
  if (length < 0 || (size_t)length >= sizeof path) return INT_MAX;
  FILE *file = fopen(path, "re");
  if (file == NULL) return INT_MAX;
  int least = INT_MAX;
  char *line = NULL;
  size_t line_bytes = 0;
  while (getline(&line, &line_bytes, file) > 0) {
    struct hierarchy hierarchy;
    if (!parse_group(line, &hierarchy)) continue;
    if (bound_by_mountinfo(root, hierarchy, &least) > 0) continue;
    int one = bound_by_custom(root, hierarchy);
    if (one < least) least = one;
  }
  free(line);
  fclose(file);
  return least;
}

int ecru__cpu_budget_at(const char *root, int affinity) {
  int saved_errno = errno;
  int budget = affinity > 0 ? affinity : affinity_of_system();
  int bound = bound_of_groups(root);
  if (bound < budget) budget = bound;
  errno = saved_errno;
  return budget < 1 ? 1 : budget;
}

int ecru__cpu_budget(void) { return ecru__cpu_budget_at("", 0); }
