import dev.ecru.Chan;
import dev.ecru.Group;

/**
 * A pipeline of three stages, generate -> square -> sink. It ends from either side and leaks nothing: when the generator has no more it closes its
 * channel, and that runs down the pipeline; when the sink has enough it cancels, and every stage that waits, wherever it waits, stops.
 */
public final class Pipeline {
  private static void generate(long last, Chan<Long> numbers) {
    for (long n = 1; n <= last; n++) numbers.send(n);
    numbers.close();
  }

  private static void square(Chan<Long> numbers, Chan<Long> squares) {
    for (long n : numbers) squares.send(n * n);
    squares.close();
  }

  /** Adds up squares until they end or the sum is above enough. */
  private static long run(long last, long enough) {
    Chan<Long> numbers = new Chan<>(), squares = new Chan<>(8);
    long sum = 0;
    try (Group stages = new Group()) {
      stages.go(() -> generate(last, numbers));
      stages.go(() -> square(numbers, squares));
      for (long n : squares) if ((sum += n) > enough) break;
      stages.cancel(); // what still runs; the block's end waits for it
    }
    return sum;
  }

  public static void main(String[] arguments) {
    System.out.println("to the end: 1 + 4 + ... + 100 = " + run(10, 1_000_000));
    System.out.println("cancelled:  1 + 4 + ... > 1000 at " + run(1_000_000_000, 1000));
  }
}
