package dev.ecru;

import java.lang.ref.WeakReference;
import java.util.function.BooleanSupplier;

/** Waiting for the collector, which runs when it likes: within a minute, or the test fails. */
final class Collected {
  private Collected() {}

  static void await(WeakReference<?> reference) throws InterruptedException {
    await(() -> reference.get() == null);
  }

  static void await(BooleanSupplier happened) throws InterruptedException {
    long end = System.nanoTime() + 60_000_000_000L;
    while (!happened.getAsBoolean()) {
      if (System.nanoTime() > end) throw new AssertionError("the collector did not do it");
      System.gc();
      Thread.sleep(1);
    }
  }
}
