/// libuv's side of the I/O benchmarks: `bench_uv echo PROCS PORT`, as its guide writes an echo server. One thread, whatever PROCS says.
/// uv_try_write answers at once where it can, which is the fastest libuv has.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

enum { BUFFER_BYTES = 512, BACKLOG = 4096 };

static char buffer[BUFFER_BYTES];

static void must(int status, const char *what) {
  if (status >= 0) return;
  fprintf(stderr, "%s: %s\n", what, uv_strerror(status));
  exit(1);
}

static void allocate(uv_handle_t *handle, size_t wanted, uv_buf_t *given) {
  (void)handle, (void)wanted;
  *given = uv_buf_init(buffer, sizeof buffer);
}

static void closed(uv_handle_t *handle) { free(handle); }

static void answer(uv_stream_t *connection, ssize_t count, const uv_buf_t *given) {
  if (count == 0) return;
  uv_buf_t data = uv_buf_init(given->base, (unsigned)(count > 0 ? count : 0));
  if (count < 0 || uv_try_write(connection, &data, 1) != count) uv_close((uv_handle_t *)connection, closed);
}

static void accept_one(uv_stream_t *listener, int status) {
  must(status, "accept");
  uv_tcp_t *connection = malloc(sizeof *connection);
  if (!connection) must(UV_ENOMEM, "malloc");
  uv_tcp_init(uv_default_loop(), connection);
  must(uv_accept(listener, (uv_stream_t *)connection), "accept");
  uv_tcp_nodelay(connection, 1);
  must(uv_read_start((uv_stream_t *)connection, allocate, answer), "read");
}

int main(int arguments, char **argument) {
  if (arguments != 4 || strcmp(argument[1], "echo") != 0) return 2;
  struct rlimit descriptors;
  getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  setrlimit(RLIMIT_NOFILE, &descriptors);
  uv_tcp_t listener;
  struct sockaddr_in address;
  uv_ip4_addr("127.0.0.1", atoi(argument[3]), &address);
  uv_tcp_init(uv_default_loop(), &listener);
  must(uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0), "bind");
  must(uv_listen((uv_stream_t *)&listener, BACKLOG, accept_one), "listen");
  return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
