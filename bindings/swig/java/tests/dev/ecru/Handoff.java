package dev.ecru;

import java.util.Arrays;
import java.util.concurrent.SynchronousQueue;

/**
 * What a hand-off between two threads costs: each number is sent there and back, in alternation of rounds: a channel without buffer and Java's
 * SynchronousQueue. Argument: numbers a round. Prints the medians and their ratio.
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

  private static double median(double[] values) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    return sorted[sorted.length / 2];
  }

  public static void main(String[] arguments) throws Exception {
    int count = Integer.parseInt(arguments[0]);
    String[] names = {"LongChan", "Chan<Long>", "SynchronousQueue", "SynchronousQueue, fair"};
    double[][] both = new double[4][ROUNDS], one = new double[4][ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
      for (int i = 0; i < 4; i++) {
        both[i][round] = pingPong(pair(i), pair(i), count);
        one[i][round] = stream(pair(i), count);
      }
    }
    for (int i = 0; i < 4; i++)
      System.out.printf(
          "%-24s there and back %7.0f ns (%.2f of SynchronousQueue's), one way %7.0f ns (%.2f)%n",
          names[i], median(both[i]), median(both[i]) / median(both[2]), median(one[i]), median(one[i]) / median(one[2]));
  }

  private static Pair pair(int i) {
    return i == 0 ? numbers() : i == 1 ? objects() : queue(i == 3);
  }
}
