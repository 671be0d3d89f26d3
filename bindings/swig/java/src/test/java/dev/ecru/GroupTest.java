package dev.ecru;

import static org.junit.jupiter.api.Assertions.*;

import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class GroupTest {
  @AfterEach
  void nothing_is_left() {
    assertEquals(0, Goroutines.pending());
  }

  @Test
  void the_block_ends_after_its_goroutines() {
    AtomicInteger done = new AtomicInteger();
    try (Group group = new Group()) {
      for (int i = 0; i < 20; i++) group.go(done::incrementAndGet);
    }
    assertEquals(20, done.get());
  }

  @Test
  void the_first_failure_cancels_the_others_and_is_thrown() {
    Chan<String> never = new Chan<>();
    IOException thrown = new IOException("disk");
    TaskException got =
        assertThrows(
            TaskException.class,
            () -> {
              try (Group group = new Group()) {
                group.go(never::recv);
                group.go(
                    () -> {
                      throw thrown;
                    });
              }
            });
    assertSame(thrown, got.getCause());
    assertEquals(Ecru.EPANIC, got.code());
  }

  @Test
  void a_supervisor_lets_all_end_and_suppresses_the_rest() {
    Group group = new Group(null, 1, true);
    for (int i = 0; i < 3; i++) {
      String name = "number " + i;
      group.go(
          () -> {
            throw new IOException(name);
          });
    }
    TaskException got = assertThrows(TaskException.class, group::join);
    assertEquals("number 0", got.getCause().getMessage());
    assertEquals(2, got.getSuppressed().length);
    assertEquals(3, group.failures());
    group.close();
  }

  @Test
  void results_of_forks() {
    CompletableFuture<Integer> one, two;
    try (Group group = new Group()) {
      one = group.fork(() -> 1);
      two = group.fork(() -> 2);
    }
    assertEquals(3, one.join() + two.join());
  }

  @Test
  void its_token_is_a_child_of_the_given_one() {
    Token parent = new Token();
    Group group = new Group(parent);
    Token own = group.token();
    group.go(() -> Ecru.sleep(null));
    parent.cancel();
    assertThrows(CancelledException.class, group::close);
    assertEquals(parent.id(), own.origin());
  }

  @Test
  void one_that_was_cancelled_by_hand_closes_quietly() {
    Group group = new Group();
    group.go(() -> Ecru.sleep(null));
    group.cancel();
    group.close();
    Group joined = new Group();
    joined.go(() -> Ecru.sleep(null));
    joined.cancel(Ecru.EIO);
    assertThrows(CancelledException.class, joined::join);
  }

  @Test
  void a_limit_limits() {
    AtomicInteger running = new AtomicInteger(), most = new AtomicInteger();
    try (Group group = new Group(null, 2, false)) {
      for (int i = 0; i < 20; i++)
        group.go(
            () -> {
              most.accumulateAndGet(running.incrementAndGet(), Math::max);
              Thread.yield();
              running.decrementAndGet();
            });
    }
    assertTrue(most.get() <= 2);
    Chan<String> hold = new Chan<>();
    try (Group group = new Group(null, 1, false)) {
      assertTrue(group.tryGo(() -> hold.recv()));
      assertFalse(group.tryGo(() -> fail()));
      hold.send("go on");
    }
  }

  @Test
  void nothing_is_started_after_the_end() {
    Group group = new Group();
    group.join();
    assertEquals(Ecru.ESHUTDOWN, assertThrows(EcruException.class, () -> group.go(() -> fail())).code());
    group.close();
    assertThrows(ClosedException.class, () -> group.go(() -> fail()));
    assertThrows(ClosedException.class, group::join);
    assertThrows(NullPointerException.class, () -> new Group().go(null));
  }

  @Test
  void its_own_goroutine_does_not_wait_for_it() {
    try (Group group = new Group()) {
      CompletableFuture<Integer> code = group.fork(() -> assertThrows(EcruException.class, group::join).code());
      assertEquals(Ecru.EDEADLK, code.join());
    }
  }

  @Test
  void one_of_its_goroutines_that_waits_for_it_does_not_end_the_scope() {
    var ended = new java.util.concurrent.atomic.AtomicBoolean();
    try (Group group = new Group()) {
      group.go(
          () -> {
            assertThrows(EcruException.class, group::join);
            Ecru.sleep(Duration.ofMillis(50));
            ended.set(true);
          });
    }
    assertTrue(ended.get());
  }

  @Test
  void a_group_that_is_dropped_is_cancelled() throws InterruptedException {
    Token token = tokenOfDroppedGroup();
    Collected.await(() -> token.error() == Ecru.ECANCELED);
  }

  private static Token tokenOfDroppedGroup() {
    Group group = new Group();
    group.go(() -> Ecru.sleep(null));
    return group.token();
  }
}
