package dev.ecru;

import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;

/** A channel of bytes: arrays are copied when they are sent. As {@link Chan} else. */
public final class ByteChan extends AnyChan implements Iterable<byte[]> {
  /** Sender and receiver meet. */
  public ByteChan() {
    this(0);
  }

  /** With room for so many arrays. */
  public ByteChan(long capacity) {
    this(capacity, Full.WAIT, null);
  }

  public ByteChan(long capacity, Full full) {
    this(capacity, full, null);
  }

  /** @param name shown in dumps; may be null */
  public ByteChan(long capacity, Full full, String name) {
    super(Chan.check(capacity), true, full, name);
  }

  /** Sending never waits. */
  public static ByteChan unbounded() {
    return new ByteChan(new NativeChan(-1, true, Ecru.FULL_WAIT, null));
  }

  private ByteChan(NativeChan handle) {
    super(handle);
  }

  /** The channel of C code, an {@code ecru_chan *} whose reference it gives away. Its elements are {@code {char *data; size_t length}}, of malloc, freed by
   * who has received them. */
  public static ByteChan at(long address) {
    return new ByteChan(NativeChan.at(address, true));
  }

  /** A reference for C code, an {@code ecru_chan *} that it releases. Its elements are as in {@link #at}. */
  public long retain() {
    return handle.retain();
  }

  /** Waits while there is neither a receiver nor room. */
  public void send(byte[] value) {
    handle.sendBytes(value);
  }

  /** {@link #send} that ends with a {@link DeadlineException} after so long. */
  public void send(byte[] value, Duration timeout) {
    try (Scope scope = Scope.timeout(timeout)) {
      send(value);
    }
  }

  /** Sends if that needs no waiting. returns: whether it did. */
  public boolean trySend(byte[] value) {
    return handle.trySendBytes(value);
  }

  /** Waits while there is nothing. A closed one fails with what it was closed with once it is empty. */
  public byte[] recv() {
    return handle.recvBytes();
  }

  /** {@link #recv} that ends with a {@link DeadlineException} after so long. */
  public byte[] recv(Duration timeout) {
    try (Scope scope = Scope.timeout(timeout)) {
      return recv();
    }
  }

  /** Receives if something is there. */
  public Optional<byte[]> tryRecv() {
    return Optional.ofNullable(handle.tryRecvBytes());
  }

  /** Receives until it is closed and empty. */
  @Override
  public Iterator<byte[]> iterator() {
    return new Iterator<>() {
      private byte[] value;

      @Override
      public boolean hasNext() {
        if (value == null) value = handle.nextBytes();
        return value != null;
      }

      @Override
      public byte[] next() {
        if (!hasNext()) throw new NoSuchElementException();
        byte[] taken = value;
        value = null;
        return taken;
      }
    };
  }
}
