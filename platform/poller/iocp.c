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
///   1 A watch is `idle` (its pollee's to use, under the caller's lock), `pending` (the system writes to it) or `abandoned` (pending, and freed by whoever
///     takes its completion). Only these transitions race: pending -> idle by who takes the completion, pending -> abandoned by who forgets.
///   2 A completion says no more than: look again. One that was cancelled is an event, too.
///   3 All watches stand in the poller's list until they are freed, and no later than by the poller's end.
///
/// Timeouts of the port are as coarse as the system's clock ticks (up to 16 ms). A waitable timer of high resolution interrupts the wait instead, by a
/// procedure call queued to the thread that set it; so each that waits has one of its own.
#include "platform/poller/readiness.h"

#include <winsock2.h>
// after winsock2.h
#include <assert.h>
#include <errno.h>
#include <windows.h>
#include <winternl.h>

#include "platform/clock.h"
#include "platform/memory.h"

enum { BATCH = 64, DEVICES = 256, SOCKETS_PER_DEVICE = 32, TIMER_UNIT_NS = 100, HANDLE_STEP = 4 };
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
  ecru__free(w);
}

/// It has no pollee any more. (The completion may overtake the cancelling: then that finds nothing, or a new watch at the same place: invariant 2.)
static void abandon(ecru__poller *poller, watch *w, intptr_t descriptor) {
  int state = PENDING;
  // acq_rel: as in take_completion
  if (!atomic_compare_exchange_strong_explicit(&w->state, &state, ABANDONED, memory_order_acq_rel, memory_order_acquire)) watch_free(poller, w);
  else CancelIoEx(device_for(poller, descriptor), &w->overlapped);
}

static void forget_direction(ecru__poller *poller, ecru__pollee *pollee, int direction) {
  watch *w = pollee->under_way[direction];
  pollee->under_way[direction] = NULL;
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

int ecru__poller_arm(ecru__poller *poller, ecru__pollee *pollee, int direction) {
  if (pollee->kind == ECRU__IS_FILE) return ECRU_EPERM;
  if (pollee->fleeting) forget_direction(poller, pollee, direction); // it may have become another socket
  watch *w = pollee->under_way[direction];
  // acquire: pairs with take_completion: the system has done with it
  if (w && atomic_load_explicit(&w->state, memory_order_acquire) == PENDING) return 0;
  if (!w) w = pollee->under_way[direction] = watch_create(poller);
  return w ? start(poller, pollee, direction, w) : ECRU_ENOMEM;
}

int64_t ecru__poller_attempt(ecru__poller *poller, ecru__pollee *pollee, ecru__operation *operation) {
  (void)poller;
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
  if (!made->port) {
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
  CloseHandle(poller->port);
  ecru__free(poller);
}
