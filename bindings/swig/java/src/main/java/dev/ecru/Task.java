package dev.ecru;

import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;

/**
 * A goroutine that can be waited for, many times and from many places. It has a thread to itself and a token of its own.
 *
 * <p>A failure that nobody asks for is given to the handler of {@link Ecru#setUnobservedHandler} once the task is not reachable any more.
 */
public final class Task<T> {
  private final NativeTask handle;
  private final Callable<? extends T> body;
  private volatile T result;
  private volatile Goroutines.Failure failure;
  private CompletableFuture<T> future; // this
  private boolean ended;               // this

  Task(Token parent, String name, Callable<? extends T> body) {
    this.body = java.util.Objects.requireNonNull(body);
    long ticket = Goroutines.register(this::run);
    try {
      handle = new NativeTask(ticket, parent, name);
    } catch (Throwable t) {
      Goroutines.forget(ticket);
      throw t;
    }
  }

  /** Nobody will ask for it: a failure is told as soon as it has ended. */
  void letGo() {
    handle.close();
  }

  private int run() {
    int status = 0;
    try {
      result = body.call();
    } catch (Throwable t) {
      status = fail(t);
    }
    end();
    return status;
  }

  private int fail(Throwable thrown) {
    int status = Goroutines.statusOf(thrown);
    Goroutines.Failure failed = new Goroutines.Failure(thrown);
    if (status != Ecru.ECANCELED) Goroutines.failures.put(Core.goroutine_id(), failed);
    failure = failed;
    return status;
  }

  private void end() {
    CompletableFuture<T> waiting;
    synchronized (this) {
      ended = true;
      waiting = future;
      if (waiting != null && failure != null) failure.observed = true;
    }
    if (waiting != null) complete(waiting);
  }

  private void complete(CompletableFuture<T> waiting) {
    if (failure == null) waiting.complete(result);
    else waiting.completeExceptionally(failure.thrown);
  }

  /**
   * Waits for its end.
   *
   * @return what it returned
   * @throws TaskException it threw something: the cause
   * @throws CancelledException the caller's own token was cancelled; the task runs on
   */
  public T join() {
    int status = handle.join();
    Goroutines.failures.remove(id());
    if (status < 0) throw new TaskException(status, failure == null ? null : failure.thrown);
    return result;
  }

  /** {@link #join()} that ends with a {@link DeadlineException} after so long. */
  public T join(Duration timeout) {
    try (Scope scope = Scope.timeout(timeout)) {
      return join();
    }
  }

  /** Cancels its token: what it waits for, now and later, ends with a {@link CancelledException}. */
  public void cancel() {
    handle.cancel(0);
  }

  /** {@link #cancel()} with a cause, a negative status. */
  public void cancel(int cause) {
    handle.cancel(cause);
  }

  /** Whether it has ended, and how: {@link Ecru#TASK_RUNNING}, {@link Ecru#TASK_DONE}, ... */
  public int state() {
    return handle.state();
  }

  public boolean isDone() {
    return state() != Ecru.TASK_RUNNING;
  }

  public Token token() {
    return handle.token();
  }

  public long id() {
    return handle.id();
  }

  /** Completes when the task ends; whoever has it has asked for the failure. Cancelling the future cancels the task. */
  public synchronized CompletableFuture<T> toCompletableFuture() {
    if (future != null) return future;
    future = new CompletableFuture<>();
    if (ended && failure != null) failure.observed = true;
    if (ended) complete(future);
    else
      future.whenComplete(
          (value, thrown) -> {
            if (future.isCancelled()) cancel();
          });
    return future;
  }

  NativeTask handle() {
    return handle;
  }
}
