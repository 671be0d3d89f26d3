// wordcount counts the words of directory trees: plain blocking calls in a pipeline of goroutines.
//
//     walker --paths--> readers --full blocks--> counters --tables--> merge
//                          ^---empty blocks---------'
//
// The functions that do the work are in wordcount.h: plain C that knows nothing of goroutines. The second pass calls
// the very same ones in a row, from main, and has to come to the same counts.
//
// Memory is bounded by construction: a stage that is ahead parks on a full channel, and blocks go round in a circle.
// Only the tables grow, with the number of distinct words. Nothing a tree may hold is fatal: it is reported, counted,
// and passed over.
#include "wordcount.h"

#include <ecru/ecru.h>
#include <ecru/typed.h>
#include <getopt.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

enum { PATHS_QUEUED = 256 };
_Static_assert(-ENOMEM == ECRU_ENOMEM, "the plain functions' statuses are ecru's, too");

static atomic_bool interrupted; // by SIGINT

// ---- the first pass: the functions joined by channels -------------------------------------------------------------

ECRU_CHAN_DEFINE(path_chan, char *)
ECRU_CHAN_DEFINE(block_chan, struct block *)

struct pipeline {
  struct pass *pass;
  path_chan paths;
  block_chan empty, full;
  ecru_tx *to_counters;  // a handle for each reader: when the last is released, `full` closes
  struct table **tables; // one for each counter
  size_t readers, counters;
  atomic_size_t next_table;
  ecru_group *group;
};

static int at_end(int status) { return status == ECRU_ECLOSED ? 0 : status; } // a closed channel is no failure

static int send_path(void *context, char *path) {
  struct pipeline *pipeline = context;
  int status = path_chan_send(pipeline->paths, path); // parks while the readers are behind
  if (status != 0) free(path);
  return status;
}

static int walker(void *argument, void **unused) {
  (void)unused;
  struct pipeline *pipeline = argument;
  int status = walk_roots(pipeline->pass, send_path, pipeline);
  path_chan_close(pipeline->paths);
  return status;
}

static int read_text(struct pipeline *pipeline, const char *path) {
  struct text text;
  if (!open_text(&text, pipeline->pass, path)) return 0;
  int status;
  struct block *block;
  while ((status = block_chan_recv(pipeline->empty, &block)) == 0) { // parks while the counters are behind
    bool filled = fill_block(&text, block);
    block_chan_send(filled ? pipeline->full : pipeline->empty, block); // has room for every block: it never parks
    if (!filled) break;
  }
  close_text(&text);
  return status;
}

static int reader(void *argument, void **unused) {
  (void)unused;
  struct pipeline *pipeline = argument;
  int status;
  char *path;
  while ((status = path_chan_recv(pipeline->paths, &path)) == 0) {
    status = read_text(pipeline, path);
    free(path);
    if (status != 0) break;
  }
  ecru_tx_release(pipeline->to_counters);
  return at_end(status);
}

static int counter(void *argument, void **unused) {
  (void)unused;
  struct pipeline *pipeline = argument;
  struct table *table = pipeline->tables[atomic_fetch_add(&pipeline->next_table, 1)];
  int status;
  struct block *block;
  while ((status = block_chan_recv(pipeline->full, &block)) == 0) {
    status = count_block(pipeline->pass, table, block);
    block_chan_send(pipeline->empty, block);
    if (status != 0) break;
  }
  return at_end(status);
}

static int merge(void *context, size_t shard) {
  struct pipeline *pipeline = context;
  int status = 0;
  for (size_t i = 1; status == 0 && i < pipeline->counters; i++) {
    status = merge_shard(&pipeline->tables[0]->shards[shard], &pipeline->tables[i]->shards[shard]);
  }
  return status;
}

static int watch(void *argument, void **unused) { // ten times a second; ends when it is cancelled
  (void)unused;
  struct pipeline *pipeline = argument;
  ecru_timer *ticker = NULL;
  int status = ecru_ticker_create(&ticker, ECRU_SECOND / 10);
  while (status == 0 && (status = ecru_timer_wait(ticker, NULL)) == 0) {
    if (atomic_load(&interrupted)) ecru_group_cancel(pipeline->group, ECRU_EINTR); // whoever waits in the pipeline ends
    show_progress(pipeline->pass, "counting");
  }
  ecru_timer_destroy(ticker);
  return status;
}

static int start_stages(struct pipeline *pipeline) {
  int status = ecru_group_go(pipeline->group, walker, pipeline);
  for (size_t i = 0; status == 0 && i < pipeline->counters; i++) {
    status = ecru_group_go(pipeline->group, counter, pipeline);
  }
  for (size_t i = 0; status == 0 && i < pipeline->readers; i++) {
    ecru_tx_retain(pipeline->to_counters);
    status = ecru_group_go(pipeline->group, reader, pipeline);
    if (status != 0) ecru_tx_release(pipeline->to_counters);
  }
  if (status != 0) ecru_group_cancel(pipeline->group, status);
  return status;
}

static void free_path(void *unused, void *element) {
  (void)unused;
  free(*(char **)element);
}

static int make_channels(struct pipeline *pipeline, struct block *blocks, size_t count) {
  ecru_chan_options options = ECRU_CHAN_OPTIONS;
  options.dropped = free_path; // what is left in the channel after a cancel
  int status = path_chan_create_with(&pipeline->paths, PATHS_QUEUED, &options);
  if (status == 0) status = block_chan_create(&pipeline->empty, count);
  if (status == 0) status = block_chan_create(&pipeline->full, count);
  if (status == 0) status = ecru_tx_open(&pipeline->to_counters, pipeline->full.chan);
  for (size_t i = 0; status == 0 && i < count; i++) status = block_chan_send(pipeline->empty, &blocks[i]);
  return status;
}

// Counts with goroutines. In the end tables[0] has it all; after SIGINT, then it returns ECRU_EINTR, what was counted.
static int count_concurrently(struct pass *pass, size_t readers, struct table **tables, size_t counters) {
  struct pipeline pipeline = {.pass = pass, .tables = tables, .readers = readers, .counters = counters};
  size_t block_count = 2 * (readers + counters); // one in hand, one on its way
  struct block *blocks = malloc(block_count * sizeof *blocks);
  ecru_task *watching = NULL;
  int status = blocks != NULL ? make_channels(&pipeline, blocks, block_count) : ECRU_ENOMEM;
  if (status == 0) status = ecru_group_create(&pipeline.group, 0, 0);
  if (status == 0) status = ecru_spawn(&watching, watch, &pipeline);
  if (status == 0) status = start_stages(&pipeline);
  ecru_tx_release(pipeline.to_counters); // this one; the readers have theirs
  if (pipeline.group != NULL) {
    int ended = ecru_group_wait(pipeline.group);
    if (status == 0) status = ended == ECRU_ECANCELED ? ecru_token_cause(ecru_group_token(pipeline.group)) : ended;
  }
  if (watching != NULL) {
    ecru_task_cancel(watching, 0);
    ecru_task_join(watching, NULL, NULL);
    ecru_task_release(watching);
  }
  ecru_group_destroy(pipeline.group);
  if (status == 0 || status == ECRU_EINTR) {
    int merged = ecru_parallel_for(SHARDS, 0, merge, &pipeline);
    if (merged != 0) status = merged;
  }
  path_chan_release(pipeline.paths);
  block_chan_release(pipeline.empty);
  block_chan_release(pipeline.full);
  free(blocks);
  return status;
}

// ---- the second pass: one call after the other --------------------------------------------------------------------

struct sequence {
  struct pass *pass;
  struct table *table;
  struct block block;
  double shown;
};

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int count_path(void *context, char *path) {
  struct sequence *sequence = context;
  struct text text;
  int status = 0;
  if (open_text(&text, sequence->pass, path)) {
    while (status == 0 && fill_block(&text, &sequence->block)) {
      status = count_block(sequence->pass, sequence->table, &sequence->block);
    }
    close_text(&text);
  }
  free(path);
  if (sequence->pass->live && seconds() - sequence->shown >= 0.1) {
    sequence->shown = seconds();
    show_progress(sequence->pass, "sequentially");
  }
  return status == 0 && atomic_load(&interrupted) ? ECRU_EINTR : status;
}

static int count_sequentially(struct pass *pass, struct table *table) {
  struct sequence *sequence = calloc(1, sizeof *sequence);
  if (sequence == NULL) return ECRU_ENOMEM;
  sequence->pass = pass, sequence->table = table;
  int status = walk_roots(pass, count_path, sequence);
  free(sequence);
  return status;
}

// ---- the report ---------------------------------------------------------------------------------------------------

struct usage {
  double wall, cpu, disk_mb;
};

static struct usage used_so_far(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (struct usage){seconds(),
                        (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                            (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6,
                        (double)used.ru_inblock * 512 / 1e6};
}

static struct usage used_since(struct usage start) {
  struct usage now = used_so_far();
  return (struct usage){now.wall - start.wall, now.cpu - start.cpu, now.disk_mb - start.disk_mb};
}

static bool comes_before(const struct word *one, const struct word *other) {
  if (one->count != other->count) return one->count > other->count;
  int order = memcmp(one->text, other->text, one->bytes < other->bytes ? one->bytes : other->bytes);
  return order != 0 ? order < 0 : one->bytes < other->bytes;
}

static void print_top(const struct table *table, size_t top) {
  struct word *best = calloc(top, sizeof *best); // sorted
  if (top == 0 || best == NULL) {
    free(best);
    return;
  }
  size_t count = 0;
  for (int s = 0; s < SHARDS; s++) {
    for (size_t i = 0; i < table->shards[s].room; i++) {
      const struct word *word = &table->shards[s].words[i];
      if (word->text == NULL || (count == top && !comes_before(word, &best[top - 1]))) continue;
      size_t at = count < top ? count++ : top - 1;
      for (; at > 0 && comes_before(word, &best[at - 1]); at--) best[at] = best[at - 1];
      best[at] = *word;
    }
  }
  for (size_t i = 0; i < count; i++) {
    printf("%5zu %12llu  %.*s\n", i + 1, (unsigned long long)best[i].count, (int)best[i].bytes, best[i].text);
  }
  free(best);
}

static void print_totals(struct pass *pass, const struct table *table) {
  printf("files %llu, directories %llu, bytes %llu, words %llu, distinct %zu\n", atomic_load(&pass->files),
         atomic_load(&pass->directories), atomic_load(&pass->bytes), atomic_load(&pass->words), distinct(table));
  printf("passed over: ");
  const char *separator = "";
  for (int kind = 0; kind < PROBLEMS; kind++) {
    unsigned long long count = atomic_load(&pass->problems[kind]);
    if (count == 0) continue;
    printf("%s%llu %s", separator, count, count == 1 ? problem_names[kind].one : problem_names[kind].many);
    separator = ", ";
  }
  printf("%s\n", *separator == 0 ? "nothing" : "");
}

static void print_usage(const char *how, struct usage used, const char *what) {
  printf("%s  %7.3f s, %7.3f s of CPU: %s", how, used.wall, used.cpu, what);
  if (used.disk_mb >= 1) printf(", %.0f MB from the disk", used.disk_mb);
  putchar('\n');
  fflush(stdout);
}

static bool same_totals(struct pass *one, struct pass *other) {
  bool same = one->files == other->files && one->bytes == other->bytes && one->directories == other->directories &&
              one->words == other->words;
  for (int kind = 0; kind < PROBLEMS; kind++) same = same && one->problems[kind] == other->problems[kind];
  return same;
}

// ---- the program --------------------------------------------------------------------------------------------------

static const char help[] =
    "usage: wordcount [options] [directory or file ...]      default: /usr/include /usr/share/doc\n"
    "Counts words in a pipeline of goroutines, then once more sequentially, and compares.\n"
    "  --procs N     processors to run on (default: those there are)\n"
    "  --readers N   goroutines that read files (default 8)\n"
    "  --top N       how many words to print (default 20)\n"
    "  --no-check    do not count again\n"
    "  --help        this\n";

struct run { // one pass with its outcome
  struct pass pass;
  struct table **tables;
  struct usage used;
  size_t readers, counters;
  int status;
};

static void run_pipeline(void *argument) { // the first goroutine
  struct run *run = argument;
  struct usage start = used_so_far();
  run->counters = (size_t)ecru_maxprocs();
  run->tables = new_tables(run->counters);
  run->status = ECRU_ENOMEM;
  if (run->tables != NULL) {
    run->status = count_concurrently(&run->pass, run->readers, run->tables, run->counters);
  }
  run->used = used_since(start);
}

static void run_concurrently(struct run *run, const ecru_options *options) {
  int status = ecru_run_with(options, run_pipeline, run); // starts the runtime, runs a goroutine, stops the runtime
  if (status != 0) run->status = status;
  if (run->pass.live) fprintf(stderr, "\r\033[K");
}

static void run_sequentially(struct run *run) {
  struct usage start = used_so_far();
  run->tables = new_tables(1);
  run->status = run->tables != NULL ? count_sequentially(&run->pass, run->tables[0]) : ECRU_ENOMEM;
  run->used = used_since(start);
  if (run->pass.live) fprintf(stderr, "\r\033[K");
}

static bool same(struct run *one, struct run *other) {
  return same_totals(&one->pass, &other->pass) && same_counts(one->tables[0], other->tables[0]);
}

// Counts again and compares. Returns the exit code.
static int check(struct run *first, const ecru_options *options) {
  struct run cached = {.readers = first->readers};
  cached.pass.roots = first->pass.roots, cached.pass.live = first->pass.live, cached.pass.quiet = true;
  struct run sequential = cached;
  struct run *fair = first; // the run to compare the time of
  if (first->used.disk_mb > (double)first->pass.bytes / 1e7) { // a tenth: the second pass would have it easier
    run_concurrently(&cached, options);
    if (cached.status == 0) print_usage("goroutines", cached.used, "once more, now that the files are in memory");
    fair = &cached;
  }
  if (fair->status == 0) run_sequentially(&sequential);
  int status = fair->status != 0 ? fair->status : sequential.status;
  int code = 1;
  if (status == ECRU_EINTR) {
    code = (printf("interrupted: not compared\n"), 130);
  } else if (status != 0) {
    fprintf(stderr, "wordcount: %s\n", ecru_strerror(status));
  } else {
    print_usage("sequential", sequential.used, "the same functions, one call after the other");
    code = same(first, &sequential) && (fair == first || same(first, &cached)) ? 0 : 1;
    if (code != 0) printf("DIFFERENT COUNTS: files have changed meanwhile or met a limit, or this is a bug\n");
    else if (sequential.used.wall < 0.1) printf("identical counts\n");
    else printf("identical counts, in %.2f of the time\n", fair->used.wall / sequential.used.wall);
  }
  free_tables(cached.tables);
  free_tables(sequential.tables);
  return code;
}

static int number(const char *text, long least, long most) {
  char *end;
  long value = strtol(text, &end, 10);
  if (end != text && *end == 0 && value >= least && value <= most) return (int)value;
  fprintf(stderr, "wordcount: '%s' is not a number from %ld to %ld\n", text, least, most);
  exit(2);
}

static void interrupt(int signal) {
  (void)signal;
  atomic_store(&interrupted, true); // and a second SIGINT ends the process: SA_RESETHAND
}

int main(int argc, char **argv) {
  static const struct option names[] = {
      {"procs", required_argument, NULL, 'p'}, {"readers", required_argument, NULL, 'r'},
      {"top", required_argument, NULL, 't'},   {"no-check", no_argument, NULL, 'n'},
      {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0},
  };
  static char *usual[] = {"/usr/include", "/usr/share/doc", NULL};
  ecru_options options = ECRU_OPTIONS;
  size_t readers = 8, top = 20;
  bool checked = true;
  for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
    switch (option) {
    case 'p': options.maxprocs = number(optarg, 1, 256); break;
    case 'r': readers = (size_t)number(optarg, 1, 500); break;
    case 't': top = (size_t)number(optarg, 0, 1000); break;
    case 'n': checked = false; break;
    case 'h': fputs(help, stdout); return 0;
    default: fputs(help, stderr); return 2;
    }
  }
  know_letters();
  sigaction(SIGINT, &(struct sigaction){.sa_handler = interrupt, .sa_flags = SA_RESTART | (int)SA_RESETHAND}, NULL);

  struct run first = {.readers = readers};
  first.pass.roots = optind < argc ? argv + optind : usual;
  first.pass.live = isatty(STDERR_FILENO);
  run_concurrently(&first, &options);
  int code = 1;
  if (first.status == 0 || first.status == ECRU_EINTR) {
    char shape[100];
    snprintf(shape, sizeof shape, "procs %zu, readers %zu, counters %zu", first.counters, readers, first.counters);
    print_top(first.tables[0], top);
    print_totals(&first.pass, first.tables[0]);
    print_usage("goroutines", first.used, shape);
    if (first.status == ECRU_EINTR) code = (printf("interrupted: this is what was counted until then\n"), 130);
    else code = checked ? check(&first, &options) : 0;
  } else {
    fprintf(stderr, "wordcount: %s\n", ecru_strerror(first.status));
  }
  free_tables(first.tables);
  return code;
}
