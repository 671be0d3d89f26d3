import dev.ecru.DeadlineException;
import dev.ecru.Ecru;
import dev.ecru.Scope;
import java.time.Duration;

/**
 * A deadline for a block of code: whatever waits in it, however deep, ends with a DeadlineException. The methods in between take no deadline and pass none
 * on.
 */
public final class Timeout {
  private static int askServer() {
    Ecru.sleep(Duration.ofSeconds(10)); // a slow server
    return 42;
  }

  private static int lookUp() { // knows nothing of deadlines
    try {
      return askServer();
    } finally {
      try (var shield = Scope.shield(Duration.ofSeconds(1))) {
        Ecru.sleep(Duration.ofMillis(1)); // here it may wait
        System.out.println("cleaned up");
      }
    }
  }

  public static void main(String[] arguments) {
    long began = System.nanoTime();
    try (var scope = Scope.timeout(Duration.ofMillis(50))) {
      System.out.println(lookUp());
    } catch (DeadlineException e) {
      System.out.println("lookUp: " + Ecru.statusText(e.code()) + (System.nanoTime() - began < 5_000_000_000L ? ", in time" : ", late"));
    }
    Ecru.check(); // outside of the block the deadline is gone
    System.out.println("after the block: no deadline");
  }
}
