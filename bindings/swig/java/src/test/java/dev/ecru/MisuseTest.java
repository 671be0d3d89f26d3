package dev.ecru;

import static org.junit.jupiter.api.Assertions.*;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

class MisuseTest {
  private static void assertCode(int code, org.junit.jupiter.api.function.Executable call) {
    assertEquals(code, assertThrows(EcruException.class, call).code());
  }

  @Test
  void what_is_closed_is_closed() throws Exception {
    Token token = new Token();
    Mutex mutex = new Mutex();
    RWMutex rwmutex = new RWMutex();
    Cond cond = new Cond();
    WaitGroup waitGroup = new WaitGroup();
    Semaphore semaphore = new Semaphore(1);
    Barrier barrier = new Barrier(1);
    Limiter limiter = new Limiter(1, 1);
    Timer timer = new Timer(Duration.ZERO);
    for (AutoCloseable object : List.of(token, mutex, rwmutex, cond, waitGroup, semaphore, barrier, limiter, timer)) {
      object.close();
      object.close();
    }
    assertThrows(ClosedException.class, token::cancel);
    assertThrows(ClosedException.class, () -> new Token(token, null));
    assertThrows(ClosedException.class, mutex::lock);
    assertThrows(ClosedException.class, rwmutex::readLock);
    assertThrows(ClosedException.class, cond::signal);
    assertThrows(ClosedException.class, () -> cond.await(mutex));
    assertThrows(ClosedException.class, waitGroup::await);
    assertThrows(ClosedException.class, semaphore::acquire);
    assertThrows(ClosedException.class, barrier::await);
    assertThrows(ClosedException.class, limiter::await);
    assertThrows(ClosedException.class, timer::await);
  }

  @Test
  void nonsense_is_an_exception() {
    assertCode(Ecru.EINVAL, () -> new Barrier(0));
    assertCode(Ecru.EINVAL, () -> new Semaphore(-1));
    assertCode(Ecru.EINVAL, () -> new Limiter(-1, 1));
    assertCode(Ecru.EINVAL, () -> Timer.ticker(Duration.ZERO));
    assertCode(Ecru.EINVAL, () -> new Cond().await(null));
    assertCode(Ecru.EINVAL, () -> new Token().cancel(1));
    assertCode(Ecru.EINVAL, () -> new ByteChan(1).send(null));
    assertCode(Ecru.EINVAL, () -> new Group(null, -1, false));
    assertCode(Ecru.EINVAL, () -> Ecru.joinAny(List.of()));
    assertCode(Ecru.EINVAL, () -> LongChan.at(0));
    long bytes = new ByteChan(1).retain();
    assertCode(Ecru.EINVAL, () -> LongChan.at(bytes));
    long numbers = new LongChan(1).retain();
    assertCode(Ecru.EINVAL, () -> ByteChan.at(numbers));
    ByteChan.at(bytes).close(); // references that were not taken
    LongChan.at(numbers).close();
    assertCode(Ecru.EPERM, () -> new Mutex().unlock());
    assertThrows(NullPointerException.class, () -> Ecru.go(null));
    assertThrows(NullPointerException.class, () -> Scope.under(null));
    assertThrows(EcruException.class, () -> Io.dial("no such network", "x"));
    assertThrows(EcruException.class, () -> Io.dial(null, null));
    assertThrows(EcruException.class, () -> Io.adopt(-1));
  }

  @Test
  void cancelled_waits_are_exceptions_wherever_they_wait() {
    Mutex held = new Mutex();
    held.lock();
    Semaphore none = new Semaphore(1);
    none.acquire();
    Token open = new Token(), fired = new Token();
    fired.cancel();
    Task<Void> other =
        Ecru.spawn(
            () -> {
              try (Scope scope = Scope.under(fired)) {
                assertThrows(CancelledException.class, held::lock);
                assertThrows(CancelledException.class, none::acquire);
                assertThrows(CancelledException.class, () -> new Barrier(2).await());
                assertThrows(CancelledException.class, open::await);
                assertThrows(CancelledException.class, () -> new Timer(Duration.ofDays(1)).await());
                assertThrows(CancelledException.class, () -> new Chan<String>().recv());
                assertThrows(CancelledException.class, () -> new Select().never().await());
                assertThrows(CancelledException.class, Ecru::yieldNow);
              }
              return null;
            });
    other.join();
    held.unlock();
  }

  @Test
  void an_object_can_be_closed_while_another_thread_waits_in_it() {
    Token token = new Token();
    Chan<String> begun = new Chan<>();
    Task<Void> waiter =
        Ecru.spawn(
            () -> {
              begun.send("now");
              token.await();
              return null;
            });
    begun.recv();
    token.close();
    waiter.cancel();
    EcruException cause = (EcruException) assertThrows(TaskException.class, waiter::join).getCause();
    assertTrue(cause instanceof CancelledException || cause instanceof ClosedException); // it may have been slower than close
  }

  @Test
  void connections_carry_bytes_and_end() {
    try (Io listener = Io.listen("tcp", "127.0.0.1:0"); Group group = new Group()) {
      group.go(
          () -> {
            try (Io peer = listener.accept()) {
              for (byte[] line = peer.readLine(); line != null; line = peer.readLine()) peer.write((new String(line) + "!\n").getBytes());
            }
          });
      Io client = Io.dial("tcp", new String(listener.localAddress(), StandardCharsets.UTF_8));
      client.write("hello\nyou\n".getBytes());
      assertEquals("hello!", new String(client.readLine()));
      assertEquals("you!\n", new String(client.readExactly(5)));
      client.setTimeout(Ecru.IO_READ, Duration.ofMillis(1));
      assertThrows(DeadlineException.class, () -> client.read(1));
      client.close();
      assertThrows(ClosedException.class, () -> client.read(1));
    }
  }

  @Test
  void codes_have_names_and_texts() {
    EcruException e = new EcruException(Ecru.EPIPE);
    assertEquals("ECRU_EPIPE", e.name());
    assertEquals("broken pipe (ECRU_EPIPE)", e.getMessage());
    assertEquals(Ecru.version(), "0.1.0");
  }
}
