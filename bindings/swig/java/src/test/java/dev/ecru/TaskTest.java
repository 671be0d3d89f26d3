package dev.ecru;

import static org.junit.jupiter.api.Assertions.*;

import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class TaskTest {
  private final Map<Long, Throwable> unobserved = new ConcurrentHashMap<>();

  @AfterEach
  void restore() {
    Ecru.setUnobservedHandler(null);
    assertEquals(0, Goroutines.pending());
  }

  private static <T> Task<T> failing(Throwable thrown) {
    return Ecru.spawn(
        () -> {
          if (thrown instanceof Error) throw (Error) thrown;
          throw (Exception) thrown;
        });
  }

  @Test
  void a_goroutine_has_an_id_a_name_and_is_a_daemon() {
    assertEquals(0, Ecru.goroutineId());
    Task<String> task = Ecru.spawn(null, "worker", () -> Thread.currentThread().getName() + Thread.currentThread().isDaemon() + Ecru.goroutineId());
    assertEquals("workertrue" + task.id(), task.join());
  }

  @Test
  void what_it_throws_is_the_cause() {
    IOException thrown = new IOException("disk");
    Task<Void> task = failing(thrown);
    for (int i = 0; i < 2; i++) {
      TaskException got = assertThrows(TaskException.class, task::join);
      assertSame(thrown, got.getCause());
      assertEquals(Ecru.EPANIC, got.code());
    }
    assertEquals(Ecru.TASK_FAILED, task.state());
    TaskException coded = assertThrows(TaskException.class, failing(new EcruException(Ecru.EIO))::join);
    assertEquals(Ecru.EIO, coded.code());
  }

  @Test
  void errors_are_caught_too() {
    assertInstanceOf(StackOverflowError.class, assertThrows(TaskException.class, Ecru.<Integer>spawn(() -> depth(0))::join).getCause());
    assertInstanceOf(AssertionError.class, assertThrows(TaskException.class, failing(new AssertionError())::join).getCause());
  }

  private static int depth(int n) {
    return depth(n + 1) + 1;
  }

  @Test
  void a_cancelled_task_ends_and_has_not_failed() {
    Chan<String> chan = new Chan<>();
    Task<String> task = Ecru.spawn(chan::recv);
    task.cancel();
    TaskException got = assertThrows(TaskException.class, task::join);
    assertEquals(Ecru.ECANCELED, got.code());
    assertInstanceOf(CancelledException.class, got.getCause());
    assertEquals(Ecru.TASK_CANCELED, task.state());
  }

  @Test
  void its_token_has_the_parent_it_was_given() {
    Token parent = new Token();
    Task<Void> task =
        Ecru.spawn(
            parent,
            null,
            () -> {
              Ecru.sleep(null);
              return null;
            });
    parent.cancel();
    assertEquals(Ecru.ECANCELED, assertThrows(TaskException.class, task::join).code());
    assertEquals(Ecru.ECANCELED, task.token().error());
  }

  @Test
  void it_does_not_wait_for_itself() {
    Chan<Task<Integer>> self = new Chan<>(1);
    Task<Integer> task =
        Ecru.spawn(
            () -> {
              try {
                return self.recv().join();
              } catch (EcruException e) {
                return e.code();
              }
            });
    self.send(task);
    assertEquals(Ecru.EDEADLK, task.join());
  }

  @Test
  void interrupting_its_thread_ends_no_wait_and_is_not_forgotten() {
    Chan<Thread> thread = new Chan<>(1);
    Chan<String> chan = new Chan<>();
    Task<Boolean> task =
        Ecru.spawn(
            () -> {
              thread.send(Thread.currentThread());
              chan.recv();
              return Thread.interrupted();
            });
    thread.recv().interrupt();
    chan.send("value");
    assertTrue(task.join());
  }

  @Test
  void joining_ends_in_time() {
    Chan<String> chan = new Chan<>();
    Task<String> task = Ecru.spawn(chan::recv);
    assertThrows(DeadlineException.class, () -> task.join(Duration.ofMillis(1)));
    chan.send("late");
    assertEquals("late", task.join());
  }

  @Test
  void a_failure_that_nobody_asks_for_is_told() throws InterruptedException {
    Ecru.setUnobservedHandler(unobserved::put);
    IOException thrown = new IOException("unheard");
    long id = failing(thrown).id();
    Collected.await(() -> unobserved.containsKey(id));
    assertSame(thrown, unobserved.get(id));
    assertEquals(0, Goroutines.failures.size());
  }

  @Test
  void go_tells_its_failure_too() throws InterruptedException {
    Ecru.setUnobservedHandler(unobserved::put);
    Ecru.go(
        () -> {
          throw new IOException("go");
        });
    Collected.await(() -> !unobserved.isEmpty());
  }

  @Test
  void a_failure_that_was_joined_is_not_told() throws InterruptedException {
    Ecru.setUnobservedHandler(unobserved::put);
    long joined = joinedFailure(), last = failing(new IOException()).id();
    Collected.await(() -> unobserved.containsKey(last));
    assertFalse(unobserved.containsKey(joined));
  }

  private static long joinedFailure() {
    Task<Void> task = failing(new IOException());
    assertThrows(TaskException.class, task::join);
    return task.id();
  }

  @Test
  void futures_complete() throws Exception {
    Chan<String> chan = new Chan<>();
    Task<String> task = Ecru.spawn(chan::recv);
    CompletableFuture<Integer> length = task.toCompletableFuture().thenApply(String::length);
    assertSame(task.toCompletableFuture(), task.toCompletableFuture());
    chan.send("four");
    assertEquals(4, length.get());
    Task<Integer> ended = Ecru.spawn(() -> 2);
    ended.join();
    assertEquals(2, ended.toCompletableFuture().get());
  }

  @Test
  void futures_fail_and_that_is_observed() throws Exception {
    Ecru.setUnobservedHandler(unobserved::put);
    IOException thrown = new IOException();
    assertSame(thrown, assertThrows(ExecutionException.class, failing(thrown).toCompletableFuture()::get).getCause());
    assertThrows(CompletionException.class, failing(thrown).toCompletableFuture()::join);
    long last = failing(new IOException()).id();
    Collected.await(() -> unobserved.containsKey(last) && Goroutines.failures.isEmpty());
    assertEquals(1, unobserved.size());
  }

  @Test
  void cancelling_a_future_cancels_the_task() {
    Task<String> task = Ecru.spawn(new Chan<String>()::recv);
    task.toCompletableFuture().cancel(true);
    assertEquals(Ecru.ECANCELED, assertThrows(TaskException.class, task::join).code());
  }

  @Test
  void the_first_to_succeed_wins() {
    Chan<String> never = new Chan<>();
    Task<?> slow = Ecru.spawn(never::recv), bad = failing(new IOException()), good = Ecru.spawn(() -> 1);
    assertEquals(2, Ecru.joinAny(List.of(slow, bad, good)));
    assertTrue(slow.isDone());
  }
}
