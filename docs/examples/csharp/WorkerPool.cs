using System;
using System.Linq;
using System.Threading;
using Ecru;

/// A worker pool: four goroutines work on a hundred numbers from a queue with room for eight. Whoever submits waits while the queue is full; the first
/// failure stops the pool and comes back from the group.
internal static class WorkerPool {
  private static bool IsPrime(long number) {
    if (number < 2) throw new EcruException(Core.EINVAL);
    for (long divisor = 2; divisor * divisor <= number; divisor++)
      if (number % divisor == 0) return false;
    return true;
  }

  private static int CountPrimes(long[] numbers) {
    int primes = 0;
    Chan<long> queue = new Chan<long>(8);
    using (Group pool = new Group()) {
      for (int worker = 0; worker < 4; worker++)
        pool.Go(() => {
          foreach (long number in queue)
            if (IsPrime(number)) Interlocked.Increment(ref primes);
        });
      pool.Go(() => { // in the group, too, so that it stops with the workers
        foreach (long number in numbers) queue.Send(number);
        queue.Close();
      });
    }
    return primes;
  }

  private static void Main() {
    long[] numbers = Enumerable.Range(0, 100).Select(i => 1000000000000L + i).ToArray();
    Console.WriteLine("{0} primes among {1} numbers from 10^12", CountPrimes(numbers), numbers.Length);
    numbers[50] = 1; // no worker can do anything with it
    try {
      CountPrimes(numbers);
    } catch (EcruException e) {
      Console.WriteLine("{0}: the pool has stopped", e.Message);
    }
  }
}
