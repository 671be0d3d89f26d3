package dev.ecru;

import java.time.Duration;
import java.util.NoSuchElementException;
import java.util.OptionalLong;
import java.util.PrimitiveIterator;

/** A channel of numbers, which C can share (elements of {@code int64_t}). As {@link Chan} else. */
public final class LongChan extends AnyChan implements Iterable<Long> {
  /** Sender and receiver meet. */
  public LongChan() {
    this(0);
  }

  /** With room for so many. */
  public LongChan(long capacity) {
    this(capacity, Full.WAIT, null);
  }

  public LongChan(long capacity, Full full) {
    this(capacity, full, null);
  }

  /** @param name shown in dumps; may be null */
  public LongChan(long capacity, Full full, String name) {
    super(Chan.check(capacity), false, full, name);
  }

  private LongChan(NativeChan handle) {
    super(handle);
  }

  /** Sending never waits. */
  public static LongChan unbounded() {
    return new LongChan(new NativeChan(-1, false, Ecru.FULL_WAIT, null));
  }

  /** The channel of C code, an {@code ecru_chan *} whose reference it gives away. */
  public static LongChan at(long address) {
    return new LongChan(NativeChan.at(address, false));
  }

  /** A reference for C code, an {@code ecru_chan *} that it releases. */
  public long retain() {
    return handle.retain();
  }

  /** Waits while there is neither a receiver nor room. */
  public void send(long value) {
    handle.send(value);
  }

  /** {@link #send} that ends with a {@link DeadlineException} after so long. */
  public void send(long value, Duration timeout) {
    try (Scope scope = Scope.timeout(timeout)) {
      send(value);
    }
  }

  /** Sends if that needs no waiting. returns: whether it did. */
  public boolean trySend(long value) {
    return handle.trySend(value);
  }

  /** Waits while there is nothing. A closed one fails with what it was closed with once it is empty. */
  public long recv() {
    return handle.recv();
  }

  /** {@link #recv} that ends with a {@link DeadlineException} after so long. */
  public long recv(Duration timeout) {
    try (Scope scope = Scope.timeout(timeout)) {
      return recv();
    }
  }

  /** Receives if something is there. */
  public OptionalLong tryRecv() {
    long[] value = new long[1];
    return handle.tryRecv(value) ? OptionalLong.of(value[0]) : OptionalLong.empty();
  }

  /** Receives until it is closed and empty. */
  @Override
  public PrimitiveIterator.OfLong iterator() {
    return new PrimitiveIterator.OfLong() {
      private final long[] value = new long[1];
      private boolean there;

      @Override
      public boolean hasNext() {
        if (!there) there = handle.next(value);
        return there;
      }

      @Override
      public long nextLong() {
        if (!hasNext()) throw new NoSuchElementException();
        there = false;
        return value[0];
      }
    };
  }
}
