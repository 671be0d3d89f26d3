/// The floor of the I/O benchmarks: `bench_epoll echo PROCS PORT`, an echo server as one loop over epoll. One thread, whatever PROCS says.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_BYTES = 512, EVENTS = 256 };

static int must(int result, const char *what) {
  if (result >= 0) return result;
  perror(what);
  exit(1);
}

static int listen_on(int port) {
  int listener = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), "socket"), one = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  must(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
  must(listen(listener, SOMAXCONN), "listen");
  return listener;
}

static void watch(int epoll, int descriptor) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
  must(epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event), "epoll_ctl");
}

static void accept_all(int epoll, int listener) {
  for (int accepted, one = 1; (accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
    setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(epoll, accepted);
  }
}

static void answer(int descriptor) {
  char buffer[BUFFER_BYTES];
  ssize_t count = recv(descriptor, buffer, sizeof buffer, 0);
  if (count <= 0 || send(descriptor, buffer, (size_t)count, MSG_NOSIGNAL) != count) close(descriptor);
}

int main(int arguments, char **argument) {
  if (arguments != 4 || strcmp(argument[1], "echo") != 0) return 2;
  struct rlimit descriptors;
  getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  setrlimit(RLIMIT_NOFILE, &descriptors);
  int listener = listen_on(atoi(argument[3])), epoll = must(epoll_create1(0), "epoll_create1");
  watch(epoll, listener);
  for (;;) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd == listener) accept_all(epoll, listener);
      else answer(events[i].data.fd);
    }
  }
}
