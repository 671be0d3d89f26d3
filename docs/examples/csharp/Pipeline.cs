using System;
using Ecru;

/// A pipeline of three stages, generate -> square -> sink. It ends from either side and leaks nothing: when the generator has no more it closes its
/// channel, and that runs down the pipeline; when the sink has enough it cancels, and every stage that waits, wherever it waits, stops.
internal static class Pipeline {
  private static void Generate(long last, Chan<long> numbers) {
    for (long n = 1; n <= last; n++) numbers.Send(n);
    numbers.Close();
  }

  private static void Square(Chan<long> numbers, Chan<long> squares) {
    foreach (long n in numbers) squares.Send(n * n);
    squares.Close();
  }

  /// Adds up squares until they end or the sum is above enough.
  private static long Run(long last, long enough) {
    Chan<long> numbers = new Chan<long>(), squares = new Chan<long>(8);
    long sum = 0;
    using (Group stages = new Group()) {
      stages.Go(() => Generate(last, numbers));
      stages.Go(() => Square(numbers, squares));
      foreach (long n in squares)
        if ((sum += n) > enough) break;
      stages.Cancel(); // what still runs; the block's end waits for it
    }
    return sum;
  }

  private static void Main() {
    Console.WriteLine("to the end: 1 + 4 + ... + 100 = " + Run(10, 1000000));
    Console.WriteLine("cancelled:  1 + 4 + ... > 1000 at " + Run(1000000000, 1000));
  }
}
