// libpq, unchanged, against a PostgreSQL server of the test's own: a thousand queries over a few dozen connections.
#include "server.h"

#ifdef HAVE_LIBPQ
#include <dirent.h>
#include <libpq-fe.h>

enum { CONNECTIONS = 60 };
static char connection_string[160], programs[256];
static _Atomic int answered;
static ecru_chan *idle; // of PGconn *

/// Debian keeps initdb and postgres out of the path: the newest version's directory.
static bool find_programs(void) {
  if (system("command -v initdb >/dev/null && command -v postgres >/dev/null") == 0) return true;
  DIR *versions = opendir("/usr/lib/postgresql");
  int newest = 0;
  for (struct dirent *entry; versions && (entry = readdir(versions));)
    if (atoi(entry->d_name) > newest) newest = atoi(entry->d_name);
  if (versions) closedir(versions);
  snprintf(programs, sizeof programs, "/usr/lib/postgresql/%d/bin/", newest);
  char initdb[300];
  snprintf(initdb, sizeof initdb, "%sinitdb", programs);
  return newest > 0 && access(initdb, X_OK) == 0;
}

static bool answers(void) { return PQping(connection_string) == PQPING_OK; }

static void start_postgres(void) {
  char initdb[300], postgres[300];
  make_server_directory();
  snprintf(initdb, sizeof initdb, "%sinitdb", programs);
  snprintf(postgres, sizeof postgres, "%spostgres", programs);
  snprintf(connection_string, sizeof connection_string, "host=%s dbname=postgres user=ecru sslmode=disable gssencmode=disable", server_directory);
  char *init[] = {initdb, "-D", "data", "-A", "trust", "-U", "ecru", "--no-sync", "--no-instructions", "-E", "UTF8", "--locale=C", NULL};
  if (end_of_program(start_program(init)) != 0) {
    show_server_log();
    FAIL("initdb failed");
  }
  char *run[] = {postgres, "-D", "data", "-h", "", "-k", server_directory, "-N", "100", "-F", "-c", "max_wal_senders=0", "-c", "wal_level=minimal",
                 "-c", "shared_buffers=16MB", "-c", "autovacuum=off", NULL};
  server = start_program(run);
  await_server(answers);
}

static PGconn *connect_to_postgres(void) {
  PGconn *c = PQconnectdb(connection_string);
  if (PQstatus(c) != CONNECTION_OK) FAIL("%s", PQerrorMessage(c));
  return c;
}

static void open_connection(int i) {
  (void)i;
  PGconn *c = connect_to_postgres();
  CHECK_EQ(ecru_chan_send(idle, &c), 0);
}

static void query(int i) {
  PGconn *c;
  CHECK_EQ(ecru_chan_recv(idle, &c), 0);
  char text[32];
  snprintf(text, sizeof text, "%d", i);
  const char *values[] = {text};
  PGresult *result = PQexecParams(c, "select $1::int + 1, pg_sleep(0.1)", 1, NULL, values, NULL, NULL, 0);
  if (PQresultStatus(result) != PGRES_TUPLES_OK) FAIL("%s", PQerrorMessage(c));
  CHECK_EQ(atoi(PQgetvalue(result, 0, 0)), i + 1);
  PQclear(result);
  CHECK_EQ(ecru_chan_send(idle, &c), 0);
  atomic_fetch_add(&answered, 1);
}

static void thousand(void *unused) {
  (void)unused;
  int count = (int)test_scaled(1000);
  idle = chan_of(sizeof(PGconn *), CONNECTIONS);
  concurrently(CONNECTIONS, open_connection);
  int64_t took = concurrently(count, query);
  CHECK_EQ(atomic_load(&answered), count);
  CHECK(took < count * (100 * ECRU_MILLISECOND) / 4);
  CHECK(test_threads() < 40);
  fprintf(stderr, "%d queries of 0.1 s over %d connections: %.2f s, %d threads\n", count, CONNECTIONS, (double)took / 1e9, test_threads());
  for (int i = 0; i < CONNECTIONS; i++) {
    PGconn *c;
    CHECK_EQ(ecru_chan_recv(idle, &c), 0);
    PQfinish(c);
  }
  ecru_chan_release(idle);
}

static void stopped(void *unused) {
  (void)unused;
  PGconn *c = connect_to_postgres();
  CHECK_EQ(ecru_deadline_enter(ecru_after(50 * ECRU_MILLISECOND)), 0);
  PGresult *result = PQexec(c, "select pg_sleep(30)");
  CHECK(PQresultStatus(result) != PGRES_TUPLES_OK);
  PQclear(result);
  CHECK_EQ(ecru_token_leave(), 0);
  PQreset(c); // a new connection in the same handle
  result = PQexec(c, "select 42");
  CHECK_EQ(PQresultStatus(result), PGRES_TUPLES_OK);
  CHECK_STR(PQgetvalue(result, 0, 0), "42");
  PQclear(result);
  PQfinish(c);
}

static void prepare_and_run(void (*body)(void *)) {
  if (!find_programs()) SKIP("postgresql is missing (ci/setup interpose)");
  start_postgres();
  in_goroutine(body);
  stop_server(SIGINT); // fast: without waiting for what runs
}
#else
static void thousand(void *unused) { (void)unused; }
static void stopped(void *unused) { (void)unused; }
static void prepare_and_run(void (*body)(void *)) {
  (void)body;
  SKIP("libpq is missing (ci/setup interpose)");
}
#endif

TEST(postgres, a_thousand_queries_overlap) { prepare_and_run(thousand); } // I7 serial
TEST(postgres, a_deadline_ends_a_query) { prepare_and_run(stopped); }     // I7, K2
