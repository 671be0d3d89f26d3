import dev.ecru.Chan;
import dev.ecru.Ecru;
import dev.ecru.EcruException;
import dev.ecru.Group;
import dev.ecru.TaskException;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A worker pool: four goroutines work on a hundred numbers from a queue with room for eight. Whoever submits waits while the queue is full; the first
 * failure stops the pool and comes back from the group.
 */
public final class WorkerPool {
  private static long smallestFactor(long number) {
    if (number < 2) throw new EcruException(Ecru.EINVAL);
    for (long divisor = 2; divisor * divisor <= number; divisor++) if (number % divisor == 0) return divisor;
    return number;
  }

  private static int countPrimes(long[] numbers) {
    AtomicInteger primes = new AtomicInteger();
    Chan<Long> queue = new Chan<>(8);
    try (Group pool = new Group()) {
      for (int worker = 0; worker < 4; worker++)
        pool.go(
            () -> {
              for (long number : queue) if (smallestFactor(number) == number) primes.incrementAndGet();
            });
      pool.go( // in the group, too, so that it stops with the workers
          () -> {
            for (long number : numbers) queue.send(number);
            queue.close();
          });
    }
    return primes.get();
  }

  public static void main(String[] arguments) {
    long[] numbers = new long[100];
    for (int i = 0; i < numbers.length; i++) numbers[i] = 1_000_000_000_000L + i;
    System.out.println(countPrimes(numbers) + " primes among " + numbers.length + " numbers from 10^12");

    numbers[50] = 1; // no worker can do anything with it
    try {
      countPrimes(numbers);
    } catch (TaskException e) {
      System.out.println(Ecru.statusText(e.code()) + ": the pool has stopped");
    }
  }
}
