package dev.ecru;

import java.util.Arrays;
import java.util.concurrent.SynchronousQueue;

/**
 * What a hand-off between two threads costs: a channel without buffer and Java's SynchronousQueue, in alternation of rounds; and what it costs to start a
 * goroutine and wait for it, and a Thread. Argument: numbers a round. Prints medians and their ratios.
 */
public final class Handoff {
  private static final int ROUNDS = 11;

  private Handoff() {}

  private interface Pair {
    void there(long number) throws Exception;

    long arrived() throws Exception;
  }

  private static Pair numbers() {
    LongChan chan = new LongChan();
    return new Pair() {
      public void there(long number) {
        chan.send(number);
      }

      public long arrived() {
        return chan.recv();
      }
    };
  }

  private static Pair objects() {
    Chan<Long> chan = new Chan<>();
    return new Pair() {
      public void there(long number) {
        chan.send(number);
      }

      public long arrived() {
        return chan.recv();
      }
    };
  }

  private static Pair queue(boolean fair) {
    SynchronousQueue<Long> queue = new SynchronousQueue<>(fair);
    return new Pair() {
      public void there(long number) throws Exception {
        queue.put(number);
      }

      public long arrived() throws Exception {
        return queue.take();
      }
    };
  }

  /** Nanoseconds a round trip. */
  private static double pingPong(Pair there, Pair back, int count) throws Exception {
    Thread echo =
        new Thread(
            () -> {
              try {
                for (int i = 0; i < count; i++) back.there(there.arrived());
              } catch (Exception e) {
                throw new IllegalStateException(e);
              }
            });
    long begin = System.nanoTime();
    echo.start();
    for (int i = 0; i < count; i++) {
      there.there(i);
      if (back.arrived() != i) throw new AssertionError("another number");
    }
    long end = System.nanoTime();
    echo.join();
    return (end - begin) / (double) count;
  }

  /** Nanoseconds a number, one way. */
  private static double stream(Pair pair, int count) throws Exception {
    Thread sender =
        new Thread(
            () -> {
              try {
                for (int i = 0; i < count; i++) pair.there(i);
              } catch (Exception e) {
                throw new IllegalStateException(e);
              }
            });
    long begin = System.nanoTime();
    sender.start();
    for (int i = 0; i < count; i++) if (pair.arrived() != i) throw new AssertionError("another number");
    long end = System.nanoTime();
    sender.join();
    return (end - begin) / (double) count;
  }

  /** Nanoseconds to start one and wait for it. */
  private static double start(boolean goroutine, int count) throws Exception {
    long begin = System.nanoTime();
    for (int i = 0; i < count; i++) {
      if (goroutine) {
        Ecru.spawn(() -> null).join();
        continue;
      }
      Thread thread = new Thread(() -> {});
      thread.start();
      thread.join();
    }
    return (System.nanoTime() - begin) / (double) count;
  }

  private static double median(double[] values) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    return sorted[sorted.length / 2];
  }

  public static void main(String[] arguments) throws Exception {
    int count = Integer.parseInt(arguments[0]);
    String[] names = {"LongChan", "Chan<Long>", "SynchronousQueue", "SynchronousQueue, fair"};
    double[][] both = new double[4][ROUNDS], one = new double[4][ROUNDS], starts = new double[2][ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
      for (int i = 0; i < 4; i++) {
        both[i][round] = pingPong(pair(i), pair(i), count);
        one[i][round] = stream(pair(i), count);
      }
      for (int i = 0; i < 2; i++) starts[i][round] = start(i == 0, count / 20);
    }
    for (int i = 0; i < 4; i++)
      System.out.printf(
          "%-24s there and back %7.0f ns (%.2f of SynchronousQueue's), one way %7.0f ns (%.2f)%n",
          names[i], median(both[i]), median(both[i]) / median(both[2]), median(one[i]), median(one[i]) / median(one[2]));
    System.out.printf(
        "start and join: goroutine %.0f ns (%.2f of a Thread's), Thread %.0f ns%n",
        median(starts[0]), median(starts[0]) / median(starts[1]), median(starts[1]));
  }

  private static Pair pair(int i) {
    return i == 0 ? numbers() : i == 1 ? objects() : queue(i == 3);
  }
}
