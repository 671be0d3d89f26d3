package dev.ecru;

import java.time.Duration;

/** Durations as C has them: nanoseconds; negative: no end. */
final class Durations {
  private static final Duration MOST = Duration.ofNanos(Long.MAX_VALUE);

  private Durations() {}

  /** @param duration null, or more than 292 years: no end; less than nothing: nothing */
  static long nanoseconds(Duration duration) {
    if (duration == null || duration.compareTo(MOST) > 0) return -1;
    return duration.isNegative() ? 0 : duration.toNanos();
  }
}
