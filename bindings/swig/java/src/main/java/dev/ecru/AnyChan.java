package dev.ecru;

/** What channels of all kinds have in common. */
public abstract class AnyChan implements AutoCloseable {
  final NativeChan handle;
  final boolean drops;

  AnyChan(long capacity, boolean ofBytes, Full full, String name) {
    drops = full.drops();
    handle = new NativeChan(capacity, ofBytes, full.code, name);
  }

  AnyChan(NativeChan handle) {
    this.handle = handle;
    drops = false;
  }

  /** No more is sent; what is buffered can still be received. Without effect on a closed one. */
  @Override
  public void close() {
    try {
      handle.close(0);
    } catch (ClosedException e) {
      // so it is
    }
  }

  /**
   * {@link #close} with what receivers get once it is empty.
   *
   * @param cause a negative status; 0: {@link Ecru#ECLOSED}
   * @throws ClosedException it was closed already
   */
  public void closeWith(int cause) {
    handle.close(cause);
  }

  public boolean isClosed() {
    return handle.isClosed();
  }

  /** How many are buffered now. */
  public long length() {
    return handle.len();
  }

  /** How many it has room for; -1: no end. */
  public long capacity() {
    return handle.cap();
  }

  @Override
  public String toString() {
    return getClass().getSimpleName() + ": " + length() + " buffered" + (isClosed() ? ", closed" : "");
  }
}
