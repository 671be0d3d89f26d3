/// tests/kqueue/kqueue.c: kqueue() and kevent() over epoll and eventfd, so that platform/poller/kqueue.c is compiled and run on Linux
/// (ECRU_POLLER=kqueue there). A stand-in for tests, not a port of kqueue.
///
/// Like the kernels (seen on NetBSD's, read in FreeBSD's and macOS's):
///   1 READ and WRITE are knotes of their own. What an event of one says does not have the other reported. Each has an epoll instance.
///   2 EV_CLEAR reports a change once, whether or not what it told of is taken; what was there before EV_ADD is such a change.
///   3 Adding what is there replaces udata, looks anew, and keeps the flags. EV_ONESHOT deletes at the report.
///   4 A user event without EV_CLEAR is reported to everyone who looks until it is deleted.
///   5 Closing a number drops its knotes: what epoll still says of an old file under the same number is dropped (`generation`).
///   6 Room in a pipe without a reader cannot be watched: EPIPE, as on FreeBSD and macOS. What epoll does not watch: EINVAL.
///   7 Of urgent data nothing is told.
///   8 A forked child does not inherit it.
/// Unlike them: data and fflags of events are 0; WRITE of a socket not yet connected is reported; regular files are EINVAL.
///
/// ECRU_KQUEUE_MISCHIEF=<seed> has it do what a poller must bear: events come twice, in this call or the next; knotes to which nothing has
/// happened are reported; waits are interrupted; fewer events come than there is room for.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/event.h>
#include <sys/stat.h>
#undef close

enum { READS, WRITES, SIDES, FILES_LEAST = 64, USERS_MOST = 64, AT_ONCE = 64 };

typedef struct knote {
  bool is_there;
  uint16_t flags;
  uint32_t generation;
  void *udata;
} knote;

typedef struct user_knote {
  bool is_there, is_triggered;
  uint16_t flags;
  uintptr_t ident;
  void *udata;
} user_knote;

/// All fields but `next` are under `lock`; `next` is under `all_lock`.
typedef struct queue {
  int epoll[SIDES];          // set once; the first is what kqueue() returned
  int triggered;             // set once: eventfd, readable as long as a user event or an owed one is to be reported
  pthread_mutex_t lock;
  knote *files[SIDES];       // by descriptor
  size_t room;
  uint32_t generations;
  user_knote users[USERS_MOST];
  struct kevent owed;        // the mischief's: to be reported again
  bool is_owed;
  uint64_t seed;             // 0: no mischief
  struct queue *next;
} queue;

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static queue *all;

// ---- mischief ----------------------------------------------------------------------------------------------------------

/// Under the lock. returns: once in so many calls.
static bool mischief(queue *q, uint64_t one_in) {
  if (q->seed == 0) return false;
  q->seed += UINT64_C(0x9e3779b97f4a7c15);
  uint64_t mixed = (q->seed ^ (q->seed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  return (mixed >> 33) % one_in == 0;
}

/// A knote to which nothing has happened. returns: whether one was found.
static bool invent_event(queue *q, struct kevent *event) {
  size_t start = q->room ? (size_t)(q->seed >> 7) % q->room : 0;
  int side = (int)(q->seed >> 5 & 1);
  for (size_t i = 0; i < q->room; i++) {
    size_t fd = (start + i) % q->room;
    const knote *k = &q->files[side][fd];
    if (!k->is_there || k->flags & EV_ONESHOT) continue;
    *event = (struct kevent){fd, side == READS ? EVFILT_READ : EVFILT_WRITE, k->flags, 0, 0, k->udata};
    return true;
  }
  return false;
}

// ---- files -------------------------------------------------------------------------------------------------------------

static bool make_room(queue *q, size_t fd) {
  size_t room = q->room ? q->room : FILES_LEAST;
  while (room <= fd) room *= 2;
  if (room == q->room) return true;
  for (int side = 0; side < SIDES; side++) {
    knote *larger = realloc(q->files[side], room * sizeof *larger);
    if (!larger) return false;
    memset(larger + q->room, 0, (room - q->room) * sizeof *larger);
    q->files[side] = larger;
  }
  q->room = room;
  return true;
}

static int set_epoll(const queue *q, int side, int operation, size_t fd, uint32_t generation, uint16_t flags) {
  uint32_t mode = (flags & EV_CLEAR ? EPOLLET : 0) | (flags & EV_ONESHOT ? EPOLLONESHOT : 0);
  struct epoll_event event = {.events = mode | (side == READS ? EPOLLIN | EPOLLRDHUP : EPOLLOUT), .data.u64 = (uint64_t)generation << 32 | fd};
  return epoll_ctl(q->epoll[side], operation, (int)fd, &event) == 0 ? 0 : errno;
}

static bool is_closed(size_t fd) { return fcntl((int)fd, F_GETFD) < 0 && errno == EBADF; }

/// By ppoll: where a test has calls of the library's fail, poll is among them.
static bool is_pipe_without_reader(size_t fd) {
  static const struct timespec none = {0, 0};
  struct stat status;
  struct pollfd look = {.fd = (int)fd, .events = POLLOUT};
  return fstat((int)fd, &status) == 0 && S_ISFIFO(status.st_mode) && ppoll(&look, 1, &none, NULL) == 1 && look.revents & POLLERR;
}

/// returns: an error number.
static int add_file(queue *q, int side, const struct kevent *change) {
  size_t fd = change->ident;
  if (is_closed(fd)) return EBADF;
  if (!make_room(q, fd)) return ENOMEM;
  if (side == WRITES && is_pipe_without_reader(fd)) return EPIPE;
  knote *k = &q->files[side][fd];
  if (k->is_there && set_epoll(q, side, EPOLL_CTL_MOD, fd, k->generation, k->flags) == 0) {
    k->udata = change->udata;
    return 0;
  }
  *k = (knote){.flags = (uint16_t)(change->flags & (EV_CLEAR | EV_ONESHOT)), .generation = ++q->generations, .udata = change->udata};
  int error = set_epoll(q, side, EPOLL_CTL_ADD, fd, k->generation, k->flags);
  k->is_there = error == 0;
  return error == EPERM ? EINVAL : error == ENOSPC ? ENOMEM : error;
}

static int delete_file(queue *q, int side, const struct kevent *change) {
  size_t fd = change->ident;
  if (fd >= q->room || !q->files[side][fd].is_there) return is_closed(fd) ? EBADF : ENOENT;
  q->files[side][fd].is_there = false;
  return set_epoll(q, side, EPOLL_CTL_DEL, fd, 0, 0);
}

/// What epoll says as the kernels say it. returns: whether there is such a knote.
static bool report_file(queue *q, int side, const struct epoll_event *said, struct kevent *event) {
  size_t fd = (uint32_t)said->data.u64;
  knote *k = &q->files[side][fd];
  if (!k->is_there || k->generation != said->data.u64 >> 32) return false;
  uint32_t ends = EPOLLHUP | EPOLLERR | (side == READS ? EPOLLRDHUP : 0);
  uint16_t end = said->events & ends ? EV_EOF : 0;
  *event = (struct kevent){fd, side == READS ? EVFILT_READ : EVFILT_WRITE, k->flags | end, 0, 0, k->udata};
  if (k->flags & EV_ONESHOT) {
    k->is_there = false;
    set_epoll(q, side, EPOLL_CTL_DEL, fd, 0, 0);
  }
  return true;
}

static int report_side(queue *q, int side, struct kevent *events, int most) {
  struct epoll_event said[AT_ONCE];
  int given = 0;
  if (most < 1) return 0;
  int count = epoll_wait(q->epoll[side], said, most < AT_ONCE ? most : AT_ONCE, 0); // interrupted: the next look
  for (int i = 0; i < count; i++) given += report_file(q, side, &said[i], &events[given]);
  return given;
}

// ---- user events -------------------------------------------------------------------------------------------------------

static user_knote *user_of(queue *q, uintptr_t ident) {
  for (int i = 0; i < USERS_MOST; i++)
    if (q->users[i].is_there && q->users[i].ident == ident) return &q->users[i];
  return NULL;
}

static user_knote *new_user(queue *q, const struct kevent *change) {
  for (int i = 0; i < USERS_MOST; i++) {
    if (q->users[i].is_there) continue;
    q->users[i] = (user_knote){.is_there = true, .flags = (uint16_t)(change->flags & (EV_CLEAR | EV_ONESHOT)), .ident = change->ident};
    return &q->users[i];
  }
  return NULL;
}

static int change_user(queue *q, const struct kevent *change) {
  user_knote *k = user_of(q, change->ident);
  if (change->flags & EV_DELETE) {
    if (!k) return ENOENT;
    k->is_there = k->is_triggered = false;
    return 0;
  }
  if (!k && !(change->flags & EV_ADD)) return ENOENT;
  if (!k && !(k = new_user(q, change))) return ENOMEM;
  k->udata = change->udata;
  k->is_triggered |= (change->fflags & NOTE_TRIGGER) != 0;
  return 0;
}

static int report_users(queue *q, struct kevent *events, int most) {
  int given = 0;
  for (int i = 0; i < USERS_MOST && given < most; i++) {
    user_knote *k = &q->users[i];
    if (!k->is_there || !k->is_triggered) continue;
    events[given++] = (struct kevent){k->ident, EVFILT_USER, k->flags, 0, 0, k->udata};
    k->is_triggered = !(k->flags & (EV_CLEAR | EV_ONESHOT));
    if (k->flags & EV_ONESHOT) k->is_there = false;
  }
  return given;
}

/// Under the lock: `triggered` is readable while there is something that epoll does not know of.
static void show_triggered(queue *q) {
  bool any = q->is_owed;
  for (int i = 0; i < USERS_MOST; i++) any |= q->users[i].is_there && q->users[i].is_triggered;
  uint64_t value = 1;
  if (any) while (write(q->triggered, &value, sizeof value) < 0 && errno == EINTR) {}
  else while (read(q->triggered, &value, sizeof value) < 0 && errno == EINTR) {}
}

// ---- kevent ------------------------------------------------------------------------------------------------------------

static int change_one(queue *q, const struct kevent *change) {
  if (change->filter == EVFILT_USER) return change_user(q, change);
  int side = change->filter == EVFILT_READ ? READS : WRITES;
  if (change->flags & EV_DELETE) return delete_file(q, side, change);
  return change->flags & EV_ADD ? add_file(q, side, change) : EINVAL;
}

/// Receipts and errors go where events would; an error that finds no room ends it. returns: how many; -1, errno set.
static int change_all(queue *q, const struct kevent *changes, int count, struct kevent *events, int most) {
  int told = 0;
  for (int i = 0; i < count; i++) {
    struct kevent receipt = changes[i]; // `changes` may be `events`
    int error = change_one(q, &receipt);
    if (error == 0 && !(receipt.flags & EV_RECEIPT)) continue;
    if (told == most) {
      errno = error;
      return error ? -1 : told;
    }
    receipt.flags |= EV_ERROR;
    receipt.data = error;
    events[told++] = receipt;
  }
  return told;
}

/// returns: how many it added.
static int report_mischief(queue *q, struct kevent *events, int given, int most) {
  int added = 0;
  if (q->is_owed && given + added < most) {
    q->is_owed = false;
    events[given + added++] = q->owed;
  }
  if (given + added < most && mischief(q, 8)) added += invent_event(q, &events[given + added]);
  if (given > 0 && given + added < most && mischief(q, 4)) {
    events[given + added] = events[given - 1];
    added++;
  }
  if (given > 0 && mischief(q, 4)) {
    q->owed = events[given - 1];
    q->is_owed = q->owed.filter != EVFILT_USER;
  }
  return added;
}

static int report_all(queue *q, struct kevent *events, int most) {
  if (mischief(q, 4)) most = 1;
  int given = report_users(q, events, most);
  given += report_side(q, READS, events + given, most - given);
  given += report_side(q, WRITES, events + given, most - given);
  return given + (q->seed ? report_mischief(q, events, given, most) : 0);
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/// returns: > 0: look; 0: too late; -1: interrupted.
static int sleep_until(queue *q, const struct timespec *timeout, int64_t deadline_ns) {
  struct pollfd looks[] = {{q->epoll[READS], POLLIN, 0}, {q->epoll[WRITES], POLLIN, 0}, {q->triggered, POLLIN, 0}};
  if (!timeout) return ppoll(looks, 3, NULL, NULL);
  int64_t left = deadline_ns - now_ns();
  if (left <= 0) return 0;
  struct timespec rest = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
  return ppoll(looks, 3, &rest, NULL);
}

static queue *queue_of(int descriptor) {
  pthread_mutex_lock(&all_lock);
  queue *q = all;
  while (q && q->epoll[0] != descriptor) q = q->next;
  pthread_mutex_unlock(&all_lock);
  return q;
}

/// returns: how many events; -1, errno set.
static int wait_for_events(queue *q, struct kevent *events, int most, const struct timespec *timeout) {
  int64_t deadline_ns = timeout ? now_ns() + (int64_t)timeout->tv_sec * 1000000000 + timeout->tv_nsec : 0;
  for (;;) {
    pthread_mutex_lock(&q->lock);
    int given = report_all(q, events, most);
    bool interrupted = given == 0 && mischief(q, 16);
    show_triggered(q);
    pthread_mutex_unlock(&q->lock);
    if (given > 0) return given;
    int awake = interrupted ? (errno = EINTR, -1) : sleep_until(q, timeout, deadline_ns);
    if (awake <= 0) return awake;
  }
}

int kevent(int descriptor, const struct kevent *changes, int change_count, struct kevent *events, int most, const struct timespec *timeout) {
  queue *q = queue_of(descriptor);
  if (!q) return (errno = EBADF, -1);
  pthread_mutex_lock(&q->lock);
  int told = change_all(q, changes, change_count, events, most);
  if (change_count > 0) show_triggered(q);
  pthread_mutex_unlock(&q->lock);
  return told != 0 || most == 0 ? told : wait_for_events(q, events, most, timeout);
}

// ---- its life ----------------------------------------------------------------------------------------------------------

static void close_queue(queue *q) {
  for (int side = 0; side < SIDES; side++) {
    if (q->epoll[side] >= 0) close(q->epoll[side]);
    free(q->files[side]);
  }
  if (q->triggered >= 0) close(q->triggered);
  pthread_mutex_destroy(&q->lock);
  free(q);
}

static bool open_queue(queue *q) {
  q->triggered = q->epoll[WRITES] = -1;
  return (q->epoll[READS] = epoll_create1(EPOLL_CLOEXEC)) >= 0 && (q->epoll[WRITES] = epoll_create1(EPOLL_CLOEXEC)) >= 0 &&
         (q->triggered = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) >= 0;
}

/// The child has one thread, and copies of the locks as the others held them.
static void close_all_in_child(void) {
  queue *next = all;
  pthread_mutex_init(&all_lock, NULL);
  all = NULL;
  for (queue *q; (q = next) != NULL;) {
    next = q->next;
    pthread_mutex_init(&q->lock, NULL);
    close_queue(q);
  }
}

__attribute__((constructor)) static void prepare_children(void) { pthread_atfork(NULL, NULL, close_all_in_child); }

int kqueue(void) {
  queue *q = calloc(1, sizeof *q);
  if (!q) return -1;
  const char *mischief_seed = getenv("ECRU_KQUEUE_MISCHIEF");
  q->seed = mischief_seed ? strtoull(mischief_seed, NULL, 0) : 0;
  pthread_mutex_init(&q->lock, NULL);
  if (!open_queue(q)) {
    int error = errno;
    close_queue(q);
    return (errno = error, -1);
  }
  pthread_mutex_lock(&all_lock);
  q->next = all;
  all = q;
  pthread_mutex_unlock(&all_lock);
  return q->epoll[0];
}

int kqueue_close(int descriptor) {
  pthread_mutex_lock(&all_lock);
  queue **place = &all;
  while (*place && (*place)->epoll[0] != descriptor) place = &(*place)->next;
  queue *q = *place;
  if (q) *place = q->next;
  pthread_mutex_unlock(&all_lock);
  if (!q) return close(descriptor);
  close_queue(q);
  return 0;
}
