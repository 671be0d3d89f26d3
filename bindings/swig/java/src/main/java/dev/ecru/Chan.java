package dev.ecru;

import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Objects;
import java.util.Optional;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * A channel of objects. A loop over it ({@code for (var value : chan)}) receives until it is closed and empty. null cannot be sent.
 *
 * <p>Sending and receiving park the calling thread, and end with a {@link CancelledException} or {@link DeadlineException} when the caller's current
 * token fires: then nothing was sent or received.
 */
public final class Chan<T> extends AnyChan implements Iterable<T> {
  final Tickets<T> tickets = new Tickets<>();

  /** Sender and receiver meet. */
  public Chan() {
    this(0);
  }

  /** With room for so many. */
  public Chan(long capacity) {
    this(capacity, Full.WAIT, null);
  }

  public Chan(long capacity, Full full) {
    this(capacity, full, null);
  }

  /** @param name shown in dumps; may be null */
  public Chan(long capacity, Full full, String name) {
    super(check(capacity), false, full, name);
  }

  private Chan(String name) {
    super(-1, false, Full.WAIT, name);
  }

  /** Sending never waits. */
  public static <T> Chan<T> unbounded() {
    return new Chan<>((String) null);
  }

  static long check(long capacity) {
    if (capacity < 0) throw new EcruException(Ecru.EINVAL);
    return capacity;
  }

  /** How many objects it holds on to, those of senders that wait included. */
  int held() {
    return tickets.count();
  }

  /** After a send: what gave way is not in it any more. */
  void forgetPushedOut() {
    if (!drops) return;
    long pushedOut = NativeChan.pushedOut();
    if (pushedOut != 0) tickets.take(pushedOut);
  }

  /** Waits while there is neither a receiver nor room. */
  public void send(T value) {
    long ticket = tickets.put(Objects.requireNonNull(value));
    try {
      handle.send(ticket);
    } catch (Throwable t) {
      tickets.take(ticket);
      throw t;
    }
    forgetPushedOut();
  }

  /** {@link #send} that ends with a {@link DeadlineException} after so long. */
  public void send(T value, Duration timeout) {
    try (Scope scope = Scope.timeout(timeout)) {
      send(value);
    }
  }

  /** Sends if that needs no waiting. returns: whether it did. */
  public boolean trySend(T value) {
    long ticket = tickets.put(Objects.requireNonNull(value));
    boolean sent = false;
    try {
      sent = handle.trySend(ticket);
    } finally {
      if (!sent) tickets.take(ticket);
    }
    if (sent) forgetPushedOut();
    return sent;
  }

  /** Waits while there is nothing. A closed one fails with what it was closed with once it is empty. */
  public T recv() {
    return tickets.take(handle.recv());
  }

  /** {@link #recv} that ends with a {@link DeadlineException} after so long. */
  public T recv(Duration timeout) {
    try (Scope scope = Scope.timeout(timeout)) {
      return recv();
    }
  }

  /** Receives if something is there. */
  public Optional<T> tryRecv() {
    long[] ticket = new long[1];
    return handle.tryRecv(ticket) ? Optional.of(tickets.take(ticket[0])) : Optional.empty();
  }

  /** Receives until it is closed and empty. Several can be under way: each value is received once. */
  @Override
  public Iterator<T> iterator() {
    return new Iterator<>() {
      private final long[] ticket = new long[1];
      private T value;

      @Override
      public boolean hasNext() {
        if (value == null && handle.next(ticket)) value = tickets.take(ticket[0]);
        return value != null;
      }

      @Override
      public T next() {
        if (!hasNext()) throw new NoSuchElementException();
        T taken = value;
        value = null;
        return taken;
      }
    };
  }

  /** What is received until it is closed and empty. */
  public Stream<T> stream() {
    return StreamSupport.stream(Spliterators.spliteratorUnknownSize(iterator(), Spliterator.ORDERED | Spliterator.NONNULL), false);
  }
}
