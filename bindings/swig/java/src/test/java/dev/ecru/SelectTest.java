package dev.ecru;

import static org.junit.jupiter.api.Assertions.*;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class SelectTest {
  @Test
  void every_kind_of_channel_gives_its_value() {
    Chan<String> words = new Chan<>(1);
    LongChan numbers = new LongChan(1);
    ByteChan bytes = new ByteChan(1);
    Select select = new Select().recv(words).recv(numbers).recv(bytes);
    words.send("word");
    assertEquals(new Select.Result(0, "word", null), select.await());
    numbers.send(0);
    assertEquals(new Select.Result(1, 0L, null), select.await());
    bytes.send(new byte[] {7});
    Select.Result result = select.await();
    assertEquals(2, result.index());
    assertArrayEquals(new byte[] {7}, result.get());
    assertFalse(select.poll().happened());
    assertEquals(0, words.held());
  }

  @Test
  void every_kind_of_channel_takes_its_value() {
    Chan<String> words = new Chan<>(1);
    LongChan numbers = new LongChan(1);
    ByteChan bytes = new ByteChan(1);
    Select select = new Select().send(words, "word").send(numbers, 5).send(bytes, new byte[] {7}).priority();
    for (int i = 0; i < 3; i++) assertEquals(i, select.await().index());
    assertFalse(select.await(Duration.ofMillis(1)).happened());
    assertEquals("word", words.recv());
    assertEquals(5, numbers.recv());
    assertArrayEquals(new byte[] {7}, bytes.recv());
    assertEquals(0, words.held());
  }

  @Test
  void what_was_not_sent_is_not_held() {
    Chan<String> chan = new Chan<>();
    Select select = new Select().send(chan, "nobody").send(chan, "either");
    assertFalse(select.poll().happened());
    assertFalse(select.await(Duration.ofMillis(1)).happened());
    try (Scope scope = Scope.timeout(Duration.ofMillis(1))) {
      assertThrows(DeadlineException.class, select::await);
    }
    chan.close();
    Select.Result result = select.await();
    assertEquals(Ecru.ECLOSED, result.error().code());
    assertEquals(0, chan.held());
  }

  @Test
  void a_closed_channel_says_with_what() {
    Chan<String> chan = new Chan<>();
    chan.closeWith(Ecru.EPIPE);
    assertEquals("ECRU_EPIPE", new Select().recv(chan).await().error().name());
  }

  @Test
  void a_task_that_has_ended_is_ready() {
    Task<Integer> task = Ecru.spawn(() -> 1);
    assertEquals(1, new Select().never().task(task).await().index());
    assertEquals(1, task.join());
  }

  @Test
  void a_token_a_timer_and_a_connection() {
    Token token = new Token();
    assertFalse(new Select().token(token).poll().happened());
    token.cancel();
    assertTrue(new Select().token(token).poll().happened());
    assertEquals(1, new Select().never().timer(new Timer(Duration.ofMillis(1))).await().index());
    try (Io listener = Io.listen("tcp", "127.0.0.1:0")) {
      Io client = Io.dial("tcp", new String(listener.localAddress()));
      assertEquals(0, new Select().readable(listener).await().index());
      assertEquals(0, new Select().writable(client).await().index());
      client.close();
    }
  }

  @Test
  void one_thread_at_a_time() {
    Chan<String> chan = new Chan<>();
    Select select = new Select().recv(chan);
    Task<Object> first =
        Ecru.spawn(
            () -> {
              while (true) {
                try {
                  return select.await().value();
                } catch (EcruException e) {
                  assertEquals(Ecru.EBUSY, e.code()); // the other was faster
                }
              }
            });
    while (true) {
      try {
        if (select.poll().happened()) fail("nobody has sent");
      } catch (EcruException e) {
        assertEquals(Ecru.EBUSY, e.code());
        break;
      }
      Thread.onSpinWait();
    }
    chan.send("late");
    assertEquals("late", first.join());
  }

  @Test
  void what_is_closed_or_missing_cannot_be_waited_for() {
    Token token = new Token();
    token.close();
    assertThrows(ClosedException.class, () -> new Select().never().token(token).await());
    assertEquals(Ecru.EINVAL, assertThrows(EcruException.class, () -> new Select().token(null).await()).code());
    assertThrows(NullPointerException.class, () -> new Select().recv((Chan<?>) null));
    assertThrows(NullPointerException.class, () -> new Select().task(null));
  }

  @Test
  void what_was_put_in_before_a_bad_case_is_taken_back() {
    Chan<String> chan = new Chan<>(1);
    Select select = new Select().send(chan, "value").token(null);
    assertThrows(EcruException.class, select::await);
    assertEquals(0, chan.held());
    assertEquals(0, chan.length());
  }
}
