using System;
using System.Diagnostics;
using Ecru;

/// A deadline for a block of code: whatever waits in it, however deep, ends with a DeadlineException. The methods in between take no deadline and pass
/// none on.
internal static class Timeout {
  private static int AskServer() {
    Goroutine.Sleep(TimeSpan.FromSeconds(10)); // a slow server
    return 42;
  }

  private static int LookUp() { // knows nothing of deadlines
    try {
      return AskServer();
    } finally {
      using (Scope.Shield()) {
        Goroutine.Sleep(TimeSpan.FromMilliseconds(1)); // here it may wait
        Console.WriteLine("cleaned up");
      }
    }
  }

  private static void Main() {
    Stopwatch watch = Stopwatch.StartNew();
    try {
      using (Scope.Timeout(TimeSpan.FromMilliseconds(50))) LookUp();
    } catch (TimeoutException e) {
      Console.WriteLine("LookUp: {0}{1}", e.Message, watch.Elapsed.TotalSeconds < 5 ? ", in time" : ", late");
    }
    Goroutine.Check(); // outside of the block the deadline is gone
    Console.WriteLine("after the block: no deadline");
  }
}
