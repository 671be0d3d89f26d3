/// tests/contract/budget.c: ecru__cpu_budget (G5) against made-up control group trees.
#include "platform/thread.h"
#include "test.h"
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/ecru-budget-XXXXXX";

/// A fresh tree whose /proc/self/cgroup says this.
static void plant(const char *groups);

/// Writes <root>/<path>, and the directories on the way.
static void file(const char *path, const char *text) {
  char full[1024];
  snprintf(full, sizeof full, "%s/%s", root, path);
  for (char *slash = full + sizeof root; (slash = strchr(slash, '/')) != NULL; slash++) {
    *slash = '\0';
    if (mkdir(full, 0700) != 0) CHECK_EQ(errno, EEXIST);
    *slash = '/';
  }
  FILE *stream = fopen(full, "w");
  CHECK(stream != NULL);
  fputs(text, stream);
  fclose(stream);
}

static void clear(void) {
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", root);
  CHECK_EQ(system(command), 0);
}

static void plant(const char *groups) {
  CHECK(mkdtemp(root) != NULL);
  atexit(clear);
  file("proc/self/cgroup", groups);
}

TEST(budget, without_groups_it_is_the_affinity) {
  CHECK(mkdtemp(root) != NULL);
  atexit(clear);
  errno = EXFULL;
  CHECK_EQ(ecru__cpu_budget_at(root, 7), 7);
  CHECK_EQ(errno, EXFULL);
}

TEST(budget, the_system_is_asked_for_the_affinity) {
  CHECK(mkdtemp(root) != NULL);
  atexit(clear);
  cpu_set_t set;
  CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  CHECK_EQ(ecru__cpu_budget_at(root, 0), CPU_COUNT(&set));
  int first = 0;
  while (!CPU_ISSET(first, &set)) first++;
  CPU_ZERO(&set);
  CPU_SET(first, &set);
  CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
  CHECK_EQ(ecru__cpu_budget_at(root, 0), 1);
}

TEST(budget, here_it_is_at_least_one) {
  errno = EXFULL;
  CHECK(ecru__cpu_budget() >= 1);
  CHECK_EQ(errno, EXFULL);
}

TEST(budget, version_2_quota_is_rounded_up) {
  plant("0::/app\n");
  file("sys/fs/cgroup/app/cpu.max", "250000 100000\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 3);
  CHECK_EQ(ecru__cpu_budget_at(root, 2), 2);
  file("sys/fs/cgroup/app/cpu.max", "200000 100000\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 2);
  file("sys/fs/cgroup/app/cpu.max", "1000 100000\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 1);
}

TEST(budget, version_2_max_is_no_bound) {
  plant("0::/app\n");
  file("sys/fs/cgroup/app/cpu.max", "max 100000\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 64);
}

TEST(budget, version_2_ancestors_bind) {
  plant("0::/a/b/c\n");
  file("sys/fs/cgroup/a/b/c/cpu.max", "900000 100000\n");
  file("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  file("sys/fs/cgroup/a/cpu.max", "350000 100000\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 4);
  file("sys/fs/cgroup/cpu.max", "200000 100000\n"); // a namespace's root is somebody's group
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 2);
}

TEST(budget, version_2_root_group) {
  plant("0::/\n");
  file("sys/fs/cgroup/cpu.max", "300000 100000\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 3);
}

TEST(budget, version_1_quota_is_rounded_up) {
  plant("5:memory:/m\n4:cpu,cpuacct:/app\n1:name=systemd:/s\n");
  file("sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us", "150000\n");
  file("sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_period_us", "100000\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 2);
}

TEST(budget, version_1_minus_one_is_no_bound) {
  plant("4:cpu:/app\n");
  file("sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "-1\n");
  file("sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 64);
}

TEST(budget, version_1_ancestors_bind) {
  plant("4:cpu:/a/b\n");
  file("sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "800000\n");
  file("sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\n");
  file("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "150000\n");
  file("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "50000\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 3);
}

TEST(budget, the_group_of_cpuset_is_not_the_group_of_cpu) {
  plant("4:cpuset:/app\n");
  file("sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "100000\n");
  file("sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 64);
}

TEST(budget, both_versions_at_once) {
  plant("4:cpu:/one\n0::/two\n");
  file("sys/fs/cgroup/cpu/one/cpu.cfs_quota_us", "500000\n");
  file("sys/fs/cgroup/cpu/one/cpu.cfs_period_us", "100000\n");
  file("sys/fs/cgroup/unified/two/cpu.max", "300000 100000\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 3);
}

TEST(budget, a_container_sees_its_part_mounted_as_the_root) {
  plant("0::/docker/1234/inner\n");
  file("proc/self/mountinfo",
       "25 24 0:22 / /proc rw,nosuid - proc proc rw\n"
       "30 24 0:26 /docker/1234 /sys/fs/cgroup ro,nosuid shared:4 - cgroup2 cgroup rw,nsdelegate\n");
  file("sys/fs/cgroup/inner/cpu.max", "300000 100000\n");
  file("sys/fs/cgroup/cpu.max", "600000 100000\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 3);
}

TEST(budget, a_hierarchy_may_be_mounted_anywhere) {
  plant("7:cpu,cpuacct:/app\n");
  file("proc/self/mountinfo", "30 24 0:26 / /cgroups/c rw - cgroup none rw,cpuacct,cpu\n"
                              "31 24 0:27 / /cgroups/m rw - cgroup none rw,memory\n");
  file("cgroups/c/app/cpu.cfs_quota_us", "200000\n");
  file("cgroups/c/app/cpu.cfs_period_us", "100000\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 2);
}

TEST(budget, a_group_outside_of_the_namespace_leaves_the_root) {
  plant("0::/../other\n");
  file("sys/fs/cgroup/cpu.max", "400000 100000\n");
  file("sys/fs/other/cpu.max", "100000 100000\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 4);
}

TEST(budget, rubbish_binds_nothing) {
  plant("nothing\n:\n::\n0:\n0::\n4:cpu\n0::/app\n");
  file("sys/fs/cgroup/app/cpu.max", "many few\n");
  file("sys/fs/cgroup/cpu.max", "");
  file("proc/self/mountinfo", "x\n1 2 3\n - cgroup2\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 64);
  file("sys/fs/cgroup/app/cpu.max", "100000 0\n");
  CHECK_EQ(ecru__cpu_budget_at(root, 64), 64);
}
