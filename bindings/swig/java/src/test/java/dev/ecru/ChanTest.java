package dev.ecru;

import static org.junit.jupiter.api.Assertions.*;

import java.lang.ref.WeakReference;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class ChanTest {
  @Test
  void objects_come_out_as_they_went_in() {
    Chan<Object> chan = new Chan<>(3);
    Object first = new Object();
    chan.send(first);
    chan.send("second");
    assertEquals(2, chan.length());
    assertSame(first, chan.recv());
    assertEquals(Optional.of("second"), chan.tryRecv());
    assertEquals(Optional.empty(), chan.tryRecv());
    assertEquals(0, chan.held());
  }

  @Test
  void a_loop_ends_with_the_channel() {
    Chan<Integer> chan = new Chan<>();
    Ecru.go(
        () -> {
          for (int i = 0; i < 100; i++) chan.send(i);
          chan.close();
        });
    int sum = 0;
    for (int i : chan) sum += i;
    assertEquals(4950, sum);
    assertFalse(chan.iterator().hasNext());
  }

  @Test
  void a_stream_is_what_is_received() {
    Chan<String> chan = Chan.unbounded();
    for (String word : List.of("a", "b", "c")) chan.send(word);
    chan.close();
    assertEquals("a b c", chan.stream().collect(Collectors.joining(" ")));
  }

  @Test
  void a_loop_fails_with_what_the_channel_was_closed_with() {
    Chan<String> chan = new Chan<>();
    chan.closeWith(Ecru.EIO);
    EcruException thrown = assertThrows(EcruException.class, () -> chan.iterator().hasNext());
    assertEquals(Ecru.EIO, thrown.code());
    assertEquals("ECRU_EIO", thrown.name());
  }

  @Test
  void what_was_not_sent_is_not_held() {
    Chan<String> chan = new Chan<>();
    assertFalse(chan.trySend("nobody"));
    assertThrows(DeadlineException.class, () -> chan.send("nobody", Duration.ofMillis(1)));
    chan.close();
    assertThrows(ClosedException.class, () -> chan.send("nobody"));
    assertThrows(ClosedException.class, () -> chan.trySend("nobody"));
    assertEquals(0, chan.held());
  }

  @Test
  void what_gives_way_is_not_held() {
    for (Full full : new Full[] {Full.DROP_OLDEST, Full.DROP_NEWEST}) {
      Chan<Integer> chan = new Chan<>(2, full);
      for (int i = 0; i < 100; i++) assertTrue(chan.trySend(i));
      for (int i = 100; i < 200; i++) chan.send(i);
      for (int i = 200; i < 300; i++) assertEquals(0, new Select().send(chan, i).await().index());
      assertEquals(2, chan.held());
      assertEquals(full == Full.DROP_OLDEST ? 298 : 0, chan.recv());
      assertEquals(299, chan.recv());
    }
  }

  @Test
  void a_full_one_that_fails_says_so() {
    Chan<Integer> chan = new Chan<>(1, Full.FAIL);
    chan.send(1);
    assertEquals(Ecru.EAGAIN, assertThrows(EcruException.class, () -> chan.send(2)).code());
    assertEquals(1, chan.held());
  }

  @Test
  void a_channel_goes_with_what_is_in_it_though_it_be_itself() throws InterruptedException {
    Chan<Object> chan = new Chan<>(2);
    Object value = new Object();
    chan.send(chan);
    chan.send(value);
    WeakReference<Object> channel = new WeakReference<>(chan), inside = new WeakReference<>(value);
    chan = null;
    value = null;
    Collected.await(channel);
    Collected.await(inside);
  }

  @Test
  void what_was_received_is_not_held() throws InterruptedException {
    Chan<Object> chan = new Chan<>(1);
    chan.send(new Object());
    WeakReference<Object> value = new WeakReference<>(chan.recv());
    Collected.await(value);
    assertEquals(0, chan.held());
  }

  @Test
  void the_room_of_a_crowd_is_not_kept_and_order_is() {
    Chan<Integer> chan = Chan.unbounded();
    for (int round = 0; round < 3; round++) {
      for (int i = 0; i < 5000; i++) chan.send(i);
      assertEquals(5000, chan.held());
      for (int i = 0; i < 5000; i++) assertEquals(i, chan.recv());
      assertEquals(0, chan.held());
    }
  }

  @Test
  void many_threads_lose_and_double_nothing() {
    Chan<Integer> chan = new Chan<>(3);
    List<Task<Long>> receivers = new ArrayList<>();
    for (int i = 0; i < 4; i++)
      receivers.add(
          Ecru.spawn(
              () -> {
                long sum = 0;
                for (int value : chan) sum += value;
                return sum;
              }));
    try (Group senders = new Group()) {
      for (int i = 0; i < 4; i++)
        senders.go(
            () -> {
              for (int value = 1; value <= 1000; value++) chan.send(value);
            });
    }
    chan.close();
    long sum = 0;
    for (Task<Long> receiver : receivers) sum += receiver.join();
    assertEquals(4 * 500500, sum);
    assertEquals(0, chan.held());
  }

  @Test
  void null_cannot_be_sent() {
    Chan<String> chan = new Chan<>(1);
    assertThrows(NullPointerException.class, () -> chan.send(null));
    assertThrows(NullPointerException.class, () -> chan.trySend(null));
    assertThrows(NullPointerException.class, () -> new Select().send(chan, null));
    assertEquals(0, chan.held());
  }

  @Test
  void numbers_of_all_sizes() {
    LongChan chan = new LongChan(3);
    for (long number : new long[] {Long.MIN_VALUE, 0, Long.MAX_VALUE}) chan.send(number);
    assertEquals(Long.MIN_VALUE, chan.recv());
    assertEquals(0, chan.tryRecv().getAsLong());
    chan.close();
    long sum = 0;
    for (var numbers = chan.iterator(); numbers.hasNext(); ) sum += numbers.nextLong();
    assertEquals(Long.MAX_VALUE, sum);
  }

  @Test
  void numbers_that_give_way() {
    LongChan chan = new LongChan(1, Full.DROP_OLDEST);
    for (int i = 0; i < 10; i++) chan.send(i);
    assertEquals(9, chan.recv());
  }

  @Test
  void bytes_are_copied() {
    ByteChan chan = new ByteChan(3);
    byte[] value = {1, 2, 3};
    chan.send(value);
    value[0] = 9;
    assertTrue(chan.trySend(new byte[0]));
    assertArrayEquals(new byte[] {1, 2, 3}, chan.recv());
    assertArrayEquals(new byte[0], chan.tryRecv().get());
    assertTrue(chan.tryRecv().isEmpty());
    chan.send(new byte[100_000]);
    chan.close();
    int received = 0;
    for (byte[] each : chan) received += each.length;
    assertEquals(100_000, received);
    assertThrows(ClosedException.class, () -> chan.send(value));
  }

  @Test
  void closing_again_is_no_error_and_closing_with_is() {
    Chan<String> chan = new Chan<>();
    chan.close();
    chan.close();
    assertTrue(chan.isClosed());
    assertThrows(ClosedException.class, () -> chan.closeWith(0));
  }

  @Test
  void a_bad_capacity_or_policy_is_an_exception() {
    assertEquals(Ecru.EINVAL, assertThrows(EcruException.class, () -> new Chan<String>(-1)).code());
    assertEquals(Ecru.EINVAL, assertThrows(EcruException.class, () -> new Chan<String>(0, Full.DROP_OLDEST)).code());
    assertEquals(Ecru.EOVERFLOW, assertThrows(EcruException.class, () -> new ByteChan(Long.MAX_VALUE)).code());
  }
}
