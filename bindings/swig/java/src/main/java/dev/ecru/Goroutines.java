package dev.ecru;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BiConsumer;

/** What C calls: the functions of goroutines by their tickets, and failures that nobody asked for. */
final class Goroutines {
  /** What was thrown in a task; the map does not hold the task, which could not be dropped then. */
  static final class Failure {
    final Throwable thrown;
    volatile boolean observed;

    Failure(Throwable thrown) {
      this.thrown = thrown;
    }
  }

  /** The body of a goroutine: throws nothing, returns a status. */
  interface Body {
    int run();
  }

  /** By the task's id, until somebody has asked or {@link #unobserved} was called. */
  static final Map<Long, Failure> failures = new ConcurrentHashMap<>();
  private static volatile BiConsumer<Long, Throwable> handler = Goroutines::report;
  private static final Map<Long, Body> started = new ConcurrentHashMap<>();
  private static final AtomicLong tickets = new AtomicLong();

  private Goroutines() {}

  /** A ticket that C gives back to {@link #run}. */
  static long register(Body body) {
    long ticket = tickets.incrementAndGet();
    started.put(ticket, body);
    return ticket;
  }

  /** The goroutine was not started. */
  static void forget(long ticket) {
    started.remove(ticket);
  }

  /** How many are registered and have not begun. */
  static int pending() {
    return started.size();
  }

  static void setHandler(BiConsumer<Long, Throwable> given) {
    handler = given == null ? Goroutines::report : given;
  }

  static int statusOf(Throwable thrown) {
    if (thrown instanceof EcruException) return ((EcruException) thrown).code();
    return thrown instanceof InterruptedException ? Ecru.EINTR : Ecru.EPANIC;
  }

  private static int run(long ticket) {
    return started.remove(ticket).run();
  }

  private static void unobserved(long id, int status) {
    Failure failure = failures.remove(id);
    if (failure != null && failure.observed) return;
    handler.accept(id, failure == null ? EcruException.of(status) : failure.thrown);
  }

  private static void report(long id, Throwable thrown) {
    Thread.UncaughtExceptionHandler uncaught = Thread.getDefaultUncaughtExceptionHandler();
    if (uncaught != null) {
      uncaught.uncaughtException(Thread.currentThread(), thrown);
      return;
    }
    System.err.println("ecru: task " + id + " failed, and nobody asked for its error:");
    thrown.printStackTrace();
  }
}
