package dev.ecru;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;

/**
 * A scope of goroutines, none of which outlives it: {@code try (var group = new Group()) { group.go(...); }}. The first that fails cancels the
 * others, unless the group is a supervisor; {@link #close} waits for all and throws that failure.
 *
 * <p>Java does not tell a resource that its block threw: what was started runs to its end then, unless the block calls {@link #cancel}.
 */
public final class Group implements AutoCloseable {
  private final NativeGroup handle;
  private final List<Throwable> failures = new ArrayList<>(); // itself; what runs has this, not the group, which can be dropped then
  private volatile boolean joined, cancelled;

  /** A group under the caller's current token. */
  public Group() {
    this(null);
  }

  public Group(Token parent) {
    this(parent, 0, false);
  }

  /**
   * @param parent of the group's token; null: the caller's current one
   * @param limit so many goroutines at most run at once; 0: no limit
   * @param supervisor a failure does not cancel the others
   */
  public Group(Token parent, long limit, boolean supervisor) {
    handle = new NativeGroup(parent, limit, supervisor);
  }

  private static int run(Work work, List<Throwable> failures) {
    try {
      work.run();
      return 0;
    } catch (Throwable t) {
      int status = Goroutines.statusOf(t);
      synchronized (failures) {
        if (status != Ecru.ECANCELED) failures.add(t);
      }
      return status;
    }
  }

  private interface Start {
    boolean start(long ticket);
  }

  private boolean start(Work work, Start starter) {
    java.util.Objects.requireNonNull(work);
    List<Throwable> known = failures;
    long ticket = Goroutines.register(() -> run(work, known));
    boolean begun = false;
    try {
      return begun = starter.start(ticket);
    } finally {
      if (!begun) Goroutines.forget(ticket);
    }
  }

  /** Starts a goroutine. Waits while the limit is reached. */
  public void go(Work work) {
    go(null, work);
  }

  /** Starts a goroutine whose thread has a name. Waits while the limit is reached. */
  public void go(String name, Work work) {
    start(
        work,
        ticket -> {
          handle.go(ticket, name);
          return true;
        });
  }

  /** Starts a goroutine, unless the limit is reached: false. */
  public boolean tryGo(Work work) {
    return start(work, ticket -> handle.tryGo(ticket, null));
  }

  /** Starts a goroutine whose result is wanted. What it throws is the group's failure, too. */
  public <T> CompletableFuture<T> fork(Callable<? extends T> body) {
    java.util.Objects.requireNonNull(body);
    CompletableFuture<T> future = new CompletableFuture<>();
    go(
        () -> {
          try {
            future.complete(body.call());
          } catch (Throwable t) {
            future.completeExceptionally(t);
            throw t;
          }
        });
    return future;
  }

  /**
   * Waits for all, those that are started meanwhile, too. If the caller is cancelled, so is the group.
   *
   * @throws TaskException the first failure; the others are suppressed in it
   * @throws CancelledException none failed, but some gave up
   */
  public void join() {
    try {
      handle.await();
      joined = true;
    } catch (EcruException e) {
      joined = e.code() != Ecru.EDEADLK; // a child of the group does not wait for itself
      throw withCause(e);
    }
  }

  private EcruException withCause(EcruException status) {
    synchronized (failures) {
      Throwable first = null;
      for (Throwable t : failures) if (first == null && Goroutines.statusOf(t) == status.code()) first = t;
      if (first == null) return status;
      TaskException thrown = new TaskException(status.code(), first);
      for (Throwable t : failures) if (t != first) thrown.addSuppressed(t);
      return thrown;
    }
  }

  /** Cancels what runs in it. That it gave up then is no failure to {@link #close}. */
  public void cancel() {
    cancel(0);
  }

  /** {@link #cancel()} with a cause, a negative status. */
  public void cancel(int cause) {
    cancelled = true;
    handle.cancel(cause);
  }

  public Token token() {
    return handle.token();
  }

  /** How many have failed so far. */
  public long failures() {
    return handle.failures();
  }

  /** {@link #join}, unless that was done. */
  @Override
  public void close() {
    try {
      if (!joined) join();
    } catch (CancelledException e) {
      if (!cancelled) throw e;
    } finally {
      handle.close();
    }
  }
}
