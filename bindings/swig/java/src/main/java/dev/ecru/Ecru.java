package dev.ecru;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.function.BiConsumer;

/**
 * Goroutines for Java. A goroutine of Java's has a thread to itself, which parks natively: channels, tokens, groups and timers are the ones that
 * goroutines of C have, and both meet in them.
 */
public final class Ecru implements CoreConstants {
  private Ecru() {}

  /** Starts a goroutine. What it throws is for the handler of {@link #setUnobservedHandler}. */
  public static void go(Work work) {
    java.util.Objects.requireNonNull(work);
    Callable<Void> body =
        () -> {
          work.run();
          return null;
        };
    new Task<>(null, null, body).letGo();
  }

  /** Starts a goroutine that can be waited for. */
  public static <T> Task<T> spawn(Callable<? extends T> body) {
    return new Task<>(null, null, body);
  }

  /**
   * Starts a goroutine that can be waited for.
   *
   * @param parent of its token; null: the caller's current one
   * @param name of its thread, at most 31 bytes; may be null
   */
  public static <T> Task<T> spawn(Token parent, String name, Callable<? extends T> body) {
    return new Task<>(parent, name, body);
  }

  /** Waits for all of them. The first in order that failed is thrown, after all have ended. */
  public static void joinAll(List<? extends Task<?>> tasks) {
    TaskException first = null;
    for (Task<?> task : tasks) {
      try {
        task.join();
      } catch (TaskException e) {
        if (first == null) first = e;
        else first.addSuppressed(e);
      }
    }
    if (first != null) throw first;
  }

  /**
   * Waits for the first that succeeds, then cancels the others and waits for them.
   *
   * @return the winner's index
   * @throws TaskException none succeeded: the first in time to fail
   */
  public static int joinAny(List<? extends Task<?>> tasks) {
    if (tasks.isEmpty()) throw new EcruException(EINVAL);
    TaskException first = null;
    boolean[] failed = new boolean[tasks.size()];
    try {
      for (int left = tasks.size(); left > 0; left--) {
        Select select = new Select();
        for (int i = 0; i < failed.length; i++) {
          if (failed[i]) select.never();
          else select.task(tasks.get(i));
        }
        int ended = select.await().index();
        try {
          tasks.get(ended).join();
          return ended;
        } catch (TaskException e) {
          if (first == null) first = e;
          failed[ended] = true;
        }
      }
    } finally {
      cancelAndJoin(tasks);
    }
    throw first;
  }

  private static void cancelAndJoin(List<? extends Task<?>> tasks) {
    for (Task<?> task : tasks) task.cancel();
    try (Scope shield = Scope.shield(null)) {
      for (Task<?> task : tasks) {
        try {
          task.join();
        } catch (TaskException e) {
          // it was canceled, or another was faster
        }
      }
    }
  }

  /** Sleeps at least so long; null: until it is cancelled. */
  public static void sleep(Duration duration) {
    Core.sleep(duration);
  }

  /** Lets others go first. */
  public static void yieldNow() {
    Core.yield_();
  }

  /** Fails if the caller's current token has fired: a point of cancellation without waiting. */
  public static void check() {
    Core.check();
  }

  /**
   * Who gets a task's id and what it threw if nobody has asked for it: in some thread, after the task. null: the default handler of uncaught
   * exceptions, or else stderr.
   */
  public static void setUnobservedHandler(BiConsumer<Long, Throwable> handler) {
    Goroutines.setHandler(handler);
  }

  /** Now: monotonic nanoseconds. */
  public static long nowNanoseconds() {
    return Core.now_ns();
  }

  /** Id of the calling goroutine; 0 in a thread of Java's own. */
  public static long goroutineId() {
    return Core.goroutine_id();
  }

  /** How many goroutines of C's can run in parallel. */
  public static int maxprocs() {
    return Core.maxprocs();
  }

  /** The library's version as "major.minor.patch". */
  public static String version() {
    return Core.version();
  }

  /** The English text of a status. */
  public static String statusText(int code) {
    return Core.status_text(code);
  }

  /** The name of a status, such as "ECRU_ECLOSED". */
  public static String statusName(int code) {
    return Core.status_name(code);
  }
}
