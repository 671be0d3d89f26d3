package dev.ecru;

/** What a full channel does with one more. */
public enum Full {
  /** The sender waits. */
  WAIT(Ecru.FULL_WAIT),
  /** The newest that is buffered gives way. */
  DROP_NEWEST(Ecru.FULL_DROP_NEWEST),
  /** The oldest that is buffered gives way. */
  DROP_OLDEST(Ecru.FULL_DROP_OLDEST),
  /** Sending fails with {@link Ecru#EAGAIN}. */
  FAIL(Ecru.FULL_FAIL);

  final int code;

  Full(int code) {
    this.code = code;
  }

  boolean drops() {
    return this == DROP_NEWEST || this == DROP_OLDEST;
  }
}
