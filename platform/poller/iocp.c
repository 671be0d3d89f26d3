/// platform/poller/iocp.c: Windows, on a completion port.
///
/// What the port completes are polls of the socket driver (AFD), one for each direction that somebody waits for: the operation under way is the
/// question whether the socket is ready, and the call itself is tried again afterwards, as in the readiness pollers. libuv, mio and wepoll ask the
/// same way, so it has worked since Windows 2000 though no manual describes it.
///
/// Considered, and not taken: the operations themselves (AcceptEx, ConnectEx, WSARecv, WSASend).
///   - A poll names the socket, but is asked of a handle of our own. So it can be asked about descriptors that are not ours (rule I7), which may
///     belong to another port, and from which an AcceptEx would take a connection away that nobody has asked for.
///   - A send that is cancelled half-way does not tell how much has been sent, a receive may have taken data that nobody wants any more. A poll that is
///     abandoned has moved nothing: "either completed or cancelled" is then about the question only, and who gives up need not wait.
///   - The system writes to no goroutine's stack, and locks no memory for each of 100,000 idle connections.
/// The price is one system call more for each operation that has to wait.
///
/// Pipes to children (ECRU__IS_HANDLE) are no sockets: children expect what ReadFile and WriteFile take. Of them nothing can be asked, so what is under way are
/// operations, but such as may be abandoned, too. A read of no bytes ends once there are some, and takes none. A write is of a copy, and counts as done
/// when it has been started, as if the pipe held so much more; the next waits until it has ended. Closing does not end it: a duplicate of the handle
/// stays open for it. What the child has not read when the runtime stops, or the process ends, is lost.
///
///   1 A watch is `idle` (its pollee's to use, under the caller's lock), `pending` (the system writes to it) or `abandoned` (pending, and freed by whoever
///     takes its completion). Only these transitions race: pending -> idle by who takes the completion, pending -> abandoned by who forgets.
///   2 A completion says no more than: look again. One that was cancelled is an event, too.
///   3 All watches stand in the poller's list until they are freed, and no later than by the poller's end.
///   4 A watch of a pipe is made once, and its key and direction do not change. Only the owner of the turn starts a write; what tells of it is armed by anybody.
///
/// Timeouts of the port are as coarse as the system's clock ticks (up to 16 ms). A waitable timer of high resolution interrupts the wait instead, by a
/// procedure call queued to the thread that set it; so each that waits has one of its own.
#include "platform/poller/readiness.h"

#include <winsock2.h>
// after winsock2.h
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <windows.h>
#include <winternl.h>

#include "platform/clock.h"
#include "platform/io/winsock.h"
#include "platform/memory.h"

enum { BATCH = 64, PART_BYTES = 64 << 10, FILE_PART_BYTES = 16 << 10, DEVICES = 256, SOCKETS_PER_DEVICE = 32, TIMER_UNIT_NS = 100, HANDLE_STEP = 4 };
enum { WAKE_KEY = 1, WATCH_KEY = 0 };

/// The socket driver's poll, as libuv and wepoll have it.
enum { IOCTL_AFD_POLL = 0x00012024 };
enum {
  AFD_RECEIVE = 1, AFD_RECEIVE_EXPEDITED = 2, AFD_SEND = 4, AFD_DISCONNECT = 8, AFD_ABORT = 16, AFD_LOCAL_CLOSE = 32, AFD_ACCEPT = 128,
  AFD_CONNECT_FAIL = 256
};
typedef struct afd_poll {
  LARGE_INTEGER timeout;
  ULONG count;
  ULONG exclusive;
  struct { HANDLE socket; ULONG events; NTSTATUS status; } sockets[1];
} afd_poll;

enum { IDLE, PENDING, ABANDONED };
typedef struct watch {
  OVERLAPPED overlapped;        // the system's while pending
  afd_poll poll;                // likewise
  _Atomic int state;            // atomic: invariant 1
  uint32_t direction;           // set at each arm
  uint64_t key;                 // set at each arm
  struct watch *next, **link;   // lock
  HANDLE pipe, kept;            // set once: a pipe's; before it is abandoned: the duplicate for a write under way
  char *part;                   // owner of the turn while idle, the system's while pending: PART_BYTES
} watch;

typedef struct alarm_clock {
  HANDLE timer;
  struct alarm_clock *next;     // lock
} alarm_clock;

struct ecru__poller {
  HANDLE port;                  // set once
  SRWLOCK lock;
  HANDLE devices[DEVICES];      // lock: until opened NULL
  watch *watches;               // lock
  alarm_clock *clocks;          // lock: not in use
  HANDLE unheard;               // set once: an event nobody waits for; marked, it keeps a completion from the port
  _Atomic uint32_t pending;     // atomic: completions still to come
  _Atomic int woken;            // atomic: a wake-up is in the port's queue or on its way back to it
};

// ---- the driver --------------------------------------------------------------------------------------------------------

static HANDLE open_device(HANDLE port) {
  static const WCHAR path[] = L"\\Device\\Afd\\ecru";
  UNICODE_STRING name = {sizeof path - sizeof *path, sizeof path, (WCHAR *)(uintptr_t)path};
  OBJECT_ATTRIBUTES attributes = {.Length = sizeof attributes, .ObjectName = &name};
  IO_STATUS_BLOCK status;
  HANDLE device = NULL;
  if (NtCreateFile(&device, SYNCHRONIZE, &attributes, &status, NULL, 0, FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN, 0, NULL, 0) != 0) return NULL;
  if (CreateIoCompletionPort(device, port, WATCH_KEY, 0)) return device;
  CloseHandle(device);
  return NULL;
}

/// The driver keeps the polls of a handle in a list: so a handle is for few sockets only.
static HANDLE device_for(ecru__poller *poller, intptr_t descriptor) {
  HANDLE *device = &poller->devices[(size_t)descriptor / HANDLE_STEP / SOCKETS_PER_DEVICE % DEVICES];
  AcquireSRWLockExclusive(&poller->lock);
  if (!*device) *device = open_device(poller->port);
  HANDLE opened = *device;
  ReleaseSRWLockExclusive(&poller->lock);
  return opened;
}

/// The driver's socket below those of layered providers. returns: 0; ECRU_EBADF; ECRU_EPERM.
static int base_of(intptr_t descriptor, HANDLE *base) {
  enum { SIO_BASE = 0x48000022 };
  DWORD bytes = 0, flags;
  if (WSAIoctl((SOCKET)descriptor, SIO_BASE, NULL, 0, base, sizeof *base, &bytes, NULL, NULL) == 0) return 0;
  if (WSAGetLastError() != WSAENOTSOCK) {
    *base = (HANDLE)descriptor;
    return 0;
  }
  return GetHandleInformation((HANDLE)descriptor, &flags) ? ECRU_EPERM : ECRU_EBADF;
}

/// Who writes to a pipe, here a pair of connections, is told when the reader closes it, too.
static ULONG events_of(const ecru__pollee *pollee, int direction) {
  ULONG over = AFD_ABORT | AFD_LOCAL_CLOSE | AFD_CONNECT_FAIL;
  if (direction == ECRU__IN) return over | AFD_RECEIVE | AFD_DISCONNECT | AFD_ACCEPT;
  return over | AFD_SEND | (pollee->kind == ECRU__IS_PIPE ? AFD_DISCONNECT : 0);
}

/// returns: 0; ECRU_EBADF; ECRU_ENOMEM.
static int ask(HANDLE device, watch *w) {
  DWORD bytes;
  if (DeviceIoControl(device, IOCTL_AFD_POLL, &w->poll, sizeof w->poll, &w->poll, sizeof w->poll, &bytes, &w->overlapped)) return 0; // queued as well
  DWORD error = GetLastError();
  if (error == ERROR_IO_PENDING) return 0;
  return error == ERROR_INVALID_HANDLE || error == ERROR_NOT_FOUND || error == WSAENOTSOCK ? ECRU_EBADF : ECRU_ENOMEM;
}

// ---- watches -----------------------------------------------------------------------------------------------------------

static watch *watch_create(ecru__poller *poller) {
  watch *w = ecru__calloc(1, sizeof *w);
  if (!w) return NULL;
  AcquireSRWLockExclusive(&poller->lock);
  w->next = poller->watches;
  w->link = &poller->watches;
  if (w->next) w->next->link = &w->next;
  poller->watches = w;
  ReleaseSRWLockExclusive(&poller->lock);
  return w;
}

static void watch_free(ecru__poller *poller, watch *w) {
  AcquireSRWLockExclusive(&poller->lock);
  *w->link = w->next;
  if (w->next) w->next->link = w->link;
  ReleaseSRWLockExclusive(&poller->lock);
  if (w->kept) CloseHandle(w->kept);
  ecru__free(w->part);
  ecru__free(w);
}

/// It has no pollee any more. (The completion may overtake the cancelling: then that finds nothing, or a new watch at the same place: invariant 2.)
static void abandon(ecru__poller *poller, watch *w, intptr_t descriptor) {
  int state = PENDING;
  HANDLE self = GetCurrentProcess();
  bool writes = w->part != NULL;
  // acquire: pairs with take_completion: then nothing is under way that would need the handle
  if (writes && atomic_load_explicit(&w->state, memory_order_acquire) == PENDING) DuplicateHandle(self, w->pipe, self, &w->kept, 0, FALSE, DUPLICATE_SAME_ACCESS);
  // acq_rel: as in take_completion
  if (!atomic_compare_exchange_strong_explicit(&w->state, &state, ABANDONED, memory_order_acq_rel, memory_order_acquire)) watch_free(poller, w);
  else if (!writes) CancelIoEx(w->pipe ? w->pipe : device_for(poller, descriptor), &w->overlapped);
}

static void forget_direction(ecru__poller *poller, ecru__pollee *pollee, int direction) {
  // acquire: pairs with watch_of_pipe
  watch *w = atomic_exchange_explicit(&pollee->under_way[direction], NULL, memory_order_acquire);
  if (w) abandon(poller, w, pollee->descriptor);
}

static int start(ecru__poller *poller, const ecru__pollee *pollee, int direction, watch *w) {
  HANDLE base, device = device_for(poller, pollee->descriptor);
  int status = device ? base_of(pollee->descriptor, &base) : ECRU_ENOMEM;
  if (status != 0) return status;
  w->key = pollee->key;
  w->direction = (uint32_t)direction;
  w->overlapped = (OVERLAPPED){0};
  w->poll = (afd_poll){.timeout.QuadPart = INT64_MAX, .count = 1, .sockets = {{base, events_of(pollee, direction), 0}}};
  atomic_fetch_add_explicit(&poller->pending, 1, memory_order_relaxed);
  // release: pairs with take_completion: who takes the completion finds all that
  atomic_store_explicit(&w->state, PENDING, memory_order_release);
  status = ask(device, w);
  if (status == 0) return 0;
  atomic_store_explicit(&w->state, IDLE, memory_order_relaxed); // nothing will come
  atomic_fetch_sub_explicit(&poller->pending, 1, memory_order_relaxed);
  return status;
}

// ---- pipes -------------------------------------------------------------------------------------------------------------

/// Their completions come to this port, but for those that are there at once. pre: the lock. returns: 0; ECRU_ENOTSUP: it belongs to another port.
static int associate(ecru__poller *poller, ecru__pollee *pollee) {
  HANDLE pipe = (HANDLE)pollee->descriptor;
  if (ecru__pollee_registered(pollee)) return 0;
  if (!CreateIoCompletionPort(pipe, poller->port, WATCH_KEY, 0)) return ECRU_ENOTSUP;
  if (!SetFileCompletionNotificationModes(pipe, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS)) return ECRU_ENOTSUP;
  ecru__pollee_register(pollee, 1u << ECRU__IN | 1u << ECRU__OUT);
  return 0;
}

/// returns: 0; ECRU_ENOTSUP; ECRU_ENOMEM.
static int watch_of_pipe(ecru__poller *poller, ecru__pollee *pollee, int direction, watch **found) {
  // acquire: pairs with the release below: what is set once is there
  if ((*found = atomic_load_explicit(&pollee->under_way[direction], memory_order_acquire)) != NULL) return 0;
  AcquireSRWLockExclusive(&poller->lock);
  int status = associate(poller, pollee);
  ReleaseSRWLockExclusive(&poller->lock);
  watch *w = status == 0 ? watch_create(poller) : NULL;
  if (!w) return status == 0 ? ECRU_ENOMEM : status;
  w->pipe = (HANDLE)pollee->descriptor;
  w->key = pollee->key;
  w->direction = (uint32_t)direction;
  void *none = NULL;
  // release: pairs with whoever finds it; acquire: another has made one meanwhile
  if (atomic_compare_exchange_strong_explicit(&pollee->under_way[direction], &none, w, memory_order_acq_rel, memory_order_acquire)) *found = w;
  else watch_free(poller, w), *found = none;
  return 0;
}

/// returns: whether it was idle: it is the caller's to start.
static bool begin(ecru__poller *poller, watch *w) {
  int state = IDLE;
  // acquire: pairs with take_completion; release: as in start
  if (!atomic_compare_exchange_strong_explicit(&w->state, &state, PENDING, memory_order_acq_rel, memory_order_acquire)) return false;
  atomic_fetch_add_explicit(&poller->pending, 1, memory_order_relaxed);
  return true;
}

/// It has ended at once.
static void take_back(ecru__poller *poller, watch *w) {
  // release: pairs with begin: another may find it idle
  atomic_store_explicit(&w->state, IDLE, memory_order_release);
  atomic_fetch_sub_explicit(&poller->pending, 1, memory_order_relaxed);
}

static int arm_pipe(ecru__poller *poller, ecru__pollee *pollee, int direction) {
  watch *w;
  int status = watch_of_pipe(poller, pollee, direction, &w);
  if (status != 0 || !begin(poller, w)) return status;
  bool waits = false;
  if (direction == ECRU__IN) {
    char none;
    w->overlapped = (OVERLAPPED){0};
    waits = !ReadFile(w->pipe, &none, 0, NULL, &w->overlapped) && GetLastError() == ERROR_IO_PENDING;
  }
  if (!waits) PostQueuedCompletionStatus(poller->port, 0, WATCH_KEY, &w->overlapped); // there is something, the end, or no write under way
  return 0;
}

enum { AT_END = INT32_MIN };
/// returns: how many bytes there are; AT_END: the other end is closed, and all is read; ECRU_E*.
static int64_t bytes_in(HANDLE pipe) {
  DWORD bytes = 0;
  if (PeekNamedPipe(pipe, NULL, 0, NULL, &bytes, NULL)) return bytes;
  DWORD error = GetLastError();
  return error == ERROR_BROKEN_PIPE || error == ERROR_PIPE_NOT_CONNECTED ? AT_END : ecru__status_of((int)error);
}

static int64_t read_pipe(ecru__poller *poller, HANDLE pipe, void *data, size_t bytes) {
  OVERLAPPED now = {.hEvent = (HANDLE)((ULONG_PTR)poller->unheard | 1)};
  if (bytes == 0) return 0;
  int64_t there = bytes_in(pipe);
  if (there <= 0) return there == 0 ? ECRU_EAGAIN : there == AT_END ? 0 : there;
  if (!ReadFile(pipe, data, (uint64_t)there < bytes ? (DWORD)there : (DWORD)bytes, NULL, &now) && GetLastError() != ERROR_IO_PENDING)
    return ecru__status_of((int)GetLastError());
  while (!HasOverlappedIoCompleted(&now)) SwitchToThread(); // it was there, and nobody else reads
  return now.Internal == 0 ? (int64_t)now.InternalHigh : ECRU_EIO;
}

static int64_t write_pipe(ecru__poller *poller, ecru__pollee *pollee, const void *data, size_t bytes) {
  watch *w;
  int64_t status = bytes == 0 ? 0 : watch_of_pipe(poller, pollee, ECRU__OUT, &w);
  if (bytes == 0 || status != 0) return status;
  if (!begin(poller, w)) return ECRU_EAGAIN;
  if (w->overlapped.Internal != 0) status = ECRU_EPIPE; // what was under way has failed
  if (status == 0 && !w->part && !(w->part = ecru__malloc(PART_BYTES))) status = ECRU_ENOMEM;
  if (status == 0) {
    DWORD count = bytes < PART_BYTES ? (DWORD)bytes : PART_BYTES;
    memcpy(w->part, data, count);
    w->overlapped = (OVERLAPPED){0};
    bool done = WriteFile(w->pipe, w->part, count, NULL, &w->overlapped);
    if (!done && GetLastError() == ERROR_IO_PENDING) return count;
    status = done ? (int64_t)count : ecru__status_of((int)GetLastError());
  }
  take_back(poller, w);
  return status;
}

static int64_t write_pipe_first(ecru__poller *poller, ecru__pollee *pollee, const ecru__operation *operation) {
  const struct { const void *data; size_t bytes; } *from = operation->vector;
  for (size_t i = 0; i < operation->count; i++)
    if (from[i].bytes > 0) return write_pipe(poller, pollee, from[i].data, from[i].bytes);
  return 0;
}

static int64_t read_pipe_first(ecru__poller *poller, HANDLE pipe, const ecru__operation *operation) {
  const struct { void *data; size_t bytes; } *to = operation->vector;
  for (size_t i = 0; i < operation->count; i++)
    if (to[i].bytes > 0) return read_pipe(poller, pipe, to[i].data, to[i].bytes);
  return 0;
}

static int64_t write_pipe_file(ecru__poller *poller, ecru__pollee *pollee, const ecru__operation *operation) {
  char part[FILE_PART_BYTES];
  int64_t count = ecru__winsock_file_part(operation, part, sizeof part);
  return count > 0 ? write_pipe(poller, pollee, part, (size_t)count) : count;
}

static int64_t attempt_pipe(ecru__poller *poller, ecru__pollee *pollee, ecru__operation *operation) {
  HANDLE pipe = (HANDLE)pollee->descriptor;
  // acquire: pairs with the release in ecru__poller_note
  operation->seen = atomic_load_explicit(&pollee->events[ecru__operation_direction(operation)], memory_order_acquire);
  switch (operation->kind) {
  case ECRU__OP_READ: return read_pipe(poller, pipe, operation->data, operation->bytes);
  case ECRU__OP_READ_V: return read_pipe_first(poller, pipe, operation);
  case ECRU__OP_WRITE: return write_pipe(poller, pollee, operation->data, operation->bytes);
  case ECRU__OP_WRITE_V: return write_pipe_first(poller, pollee, operation);
  case ECRU__OP_SEND_FILE: return write_pipe_file(poller, pollee, operation);
  case ECRU__OP_READY_IN: case ECRU__OP_READY_OUT: {
    int ready = ecru__poller_ready(pollee, ecru__operation_direction(operation));
    return ready == 0 ? ECRU_EAGAIN : ready < 0 ? ready : 0;
  }
  default: return ECRU_ENOTSOCK;
  }
}

int ecru__poller_ready(const ecru__pollee *pollee, int direction) {
  if (pollee->kind != ECRU__IS_HANDLE) return ecru__ready_now(pollee, direction);
  if (direction == ECRU__IN) return bytes_in((HANDLE)pollee->descriptor) != 0;
  // acquire: pairs with watch_of_pipe, and with take_completion
  watch *w = atomic_load_explicit(&((ecru__pollee *)(uintptr_t)pollee)->under_way[direction], memory_order_acquire);
  return !w || atomic_load_explicit(&w->state, memory_order_acquire) != PENDING;
}

// ---- the poller's interface --------------------------------------------------------------------------------------------

int ecru__poller_arm(ecru__poller *poller, ecru__pollee *pollee, int direction) {
  if (pollee->kind == ECRU__IS_FILE) return ECRU_EPERM;
  if (pollee->kind == ECRU__IS_HANDLE) return arm_pipe(poller, pollee, direction);
  if (pollee->fleeting) forget_direction(poller, pollee, direction); // it may have become another socket
  watch *w = atomic_load_explicit(&pollee->under_way[direction], memory_order_relaxed); // relaxed: of a socket under the caller's lock
  // acquire: pairs with take_completion: the system has done with it
  if (w && atomic_load_explicit(&w->state, memory_order_acquire) == PENDING) return 0;
  if (!w) atomic_store_explicit(&pollee->under_way[direction], w = watch_create(poller), memory_order_relaxed);
  return w ? start(poller, pollee, direction, w) : ECRU_ENOMEM;
}

int64_t ecru__poller_attempt(ecru__poller *poller, ecru__pollee *pollee, ecru__operation *operation) {
  if (pollee->kind == ECRU__IS_HANDLE) return attempt_pipe(poller, pollee, operation);
  return ecru__attempt_unless_drained(pollee, operation);
}

bool ecru__poller_cancel(ecru__poller *poller, ecru__pollee *pollee, ecru__operation *operation) {
  (void)poller, (void)pollee, (void)operation;
  return true;
}

void ecru__poller_forget(ecru__poller *poller, ecru__pollee *pollee) {
  forget_direction(poller, pollee, ECRU__IN);
  forget_direction(poller, pollee, ECRU__OUT);
}

// ---- waiting -----------------------------------------------------------------------------------------------------------

/// returns: whether it is an event.
static bool take_completion(ecru__poller *poller, watch *w, ecru__poll_event *event) {
  ULONG over = AFD_DISCONNECT | AFD_ABORT | AFD_LOCAL_CLOSE | AFD_CONNECT_FAIL;
  bool hung_up = w->overlapped.Internal != 0 || w->poll.count == 0 || (w->poll.sockets[0].events & over) != 0;
  *event = (ecru__poll_event){.key = w->key, .directions = 1u << w->direction, .hung_up = hung_up};
  int state = PENDING;
  atomic_fetch_sub_explicit(&poller->pending, 1, memory_order_relaxed);
  // acq_rel: pairs with start (what it has set) and with arm (what we have read)
  if (atomic_compare_exchange_strong_explicit(&w->state, &state, IDLE, memory_order_acq_rel, memory_order_acquire)) return true;
  watch_free(poller, w); // abandoned
  return false;
}

/// A wake-up is for who sleeps: who only looks puts it back.
static void take_wake(ecru__poller *poller, bool looks) {
  if (looks) PostQueuedCompletionStatus(poller->port, 0, WAKE_KEY, NULL);
  else atomic_store(&poller->woken, 0);
}

static alarm_clock *clock_take(ecru__poller *poller) {
  AcquireSRWLockExclusive(&poller->lock);
  alarm_clock *clock = poller->clocks;
  if (clock) poller->clocks = clock->next;
  ReleaseSRWLockExclusive(&poller->lock);
  if (clock || !(clock = ecru__calloc(1, sizeof *clock))) return clock;
  enum { HIGH_RESOLUTION = 2 }; // Windows 10 (1803)
  clock->timer = CreateWaitableTimerExW(NULL, NULL, HIGH_RESOLUTION, TIMER_ALL_ACCESS);
  if (!clock->timer) clock->timer = CreateWaitableTimerExW(NULL, NULL, 0, TIMER_ALL_ACCESS);
  if (clock->timer) return clock;
  ecru__free(clock);
  return NULL;
}

static void clock_give_back(ecru__poller *poller, alarm_clock *clock) {
  CancelWaitableTimer(clock->timer);
  AcquireSRWLockExclusive(&poller->lock);
  clock->next = poller->clocks;
  poller->clocks = clock;
  ReleaseSRWLockExclusive(&poller->lock);
}

static void CALLBACK do_nothing(void *argument, DWORD low, DWORD high) { (void)argument, (void)low, (void)high; }

static ULONG take_entries(ecru__poller *poller, OVERLAPPED_ENTRY *entries, ULONG most, DWORD timeout_ms, BOOL alertable) {
  ULONG count = 0;
  return GetQueuedCompletionStatusEx(poller->port, entries, most, &count, timeout_ms, alertable) ? count : 0;
}

static ULONG take_entries_until(ecru__poller *poller, OVERLAPPED_ENTRY *entries, ULONG most, int64_t deadline_ns) {
  if (deadline_ns == INT64_MAX) return take_entries(poller, entries, most, INFINITE, FALSE);
  int64_t left = deadline_ns == 0 ? 0 : deadline_ns - ecru__clock_now();
  if (left <= 0) return take_entries(poller, entries, most, 0, FALSE);
  alarm_clock *clock = clock_take(poller);
  if (!clock) return take_entries(poller, entries, most, 1, FALSE); // spuriously early or late
  LARGE_INTEGER due = {.QuadPart = -((left + TIMER_UNIT_NS - 1) / TIMER_UNIT_NS)}; // negative: from now on
  ULONG count = 0;
  if (SetWaitableTimer(clock->timer, &due, 0, do_nothing, NULL, FALSE)) count = take_entries(poller, entries, most, INFINITE, TRUE);
  clock_give_back(poller, clock);
  return count;
}

int ecru__poller_wait(ecru__poller *poller, ecru__poll_event *events, int most, int64_t deadline_ns) {
  OVERLAPPED_ENTRY entries[BATCH];
  int saved_errno = errno, given = 0;
  ULONG count = take_entries_until(poller, entries, most < BATCH ? (ULONG)most : BATCH, deadline_ns);
  for (ULONG i = 0; i < count; i++) {
    if (entries[i].lpCompletionKey == WAKE_KEY) take_wake(poller, deadline_ns == 0);
    else if (take_completion(poller, CONTAINING_RECORD(entries[i].lpOverlapped, watch, overlapped), &events[given])) given++;
  }
  errno = saved_errno;
  return given;
}

void ecru__poller_wake(ecru__poller *poller) {
  if (atomic_exchange(&poller->woken, 1) == 0) PostQueuedCompletionStatus(poller->port, 0, WAKE_KEY, NULL);
}

// ---- its life ----------------------------------------------------------------------------------------------------------

int ecru__poller_create(ecru__poller **poller) {
  ecru__poller *made = ecru__calloc(1, sizeof *made);
  if (!made) return ECRU_ENOMEM;
  InitializeSRWLock(&made->lock);
  made->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, MAXLONG); // as many may go on at once as there are
  made->unheard = CreateEventW(NULL, TRUE, FALSE, NULL);
  if (!made->port || !made->unheard) {
    if (made->port) CloseHandle(made->port);
    if (made->unheard) CloseHandle(made->unheard);
    ecru__free(made);
    return ECRU_ENOMEM;
  }
  *poller = made;
  return 0;
}

/// What is pending is written to until it has completed.
static void end_all_watches(ecru__poller *poller) {
  for (int i = 0; i < DEVICES; i++)
    if (poller->devices[i]) CancelIoEx(poller->devices[i], NULL);
  for (watch *w = poller->watches; w; w = w->next) // nobody waits in it: so the list does not change
    if (w->pipe && (w->kept || atomic_load_explicit(&w->state, memory_order_relaxed) == PENDING)) CancelIoEx(w->kept ? w->kept : w->pipe, &w->overlapped);
  for (ecru__poll_event event; atomic_load_explicit(&poller->pending, memory_order_relaxed) > 0;) ecru__poller_wait(poller, &event, 1, INT64_MAX);
  for (int i = 0; i < DEVICES; i++)
    if (poller->devices[i]) CloseHandle(poller->devices[i]);
  while (poller->watches) watch_free(poller, poller->watches);
}

void ecru__poller_destroy(ecru__poller *poller) {
  end_all_watches(poller);
  for (alarm_clock *clock; (clock = poller->clocks) != NULL;) {
    poller->clocks = clock->next;
    CloseHandle(clock->timer);
    ecru__free(clock);
  }
  CloseHandle(poller->unheard);
  CloseHandle(poller->port);
  ecru__free(poller);
}
