using System;
using System.Linq;
using Ecru;

/// Waiting for all: five services are asked at once, and all outcomes come back in order, not only the first failure.
internal static class WhenAll {
  private static string Ask(int delay, int status, string answer) {
    Goroutine.Sleep(TimeSpan.FromMilliseconds(delay));
    if (status != 0) throw new EcruException(status);
    return answer;
  }

  private static string Outcome(Goroutine<string> task) {
    try {
      return task.Join();
    } catch (EcruException e) {
      return e.Message;
    }
  }

  private static void Main() {
    var services = new[] {
      new { Name = "users", Delay = 30, Status = 0, Answer = "17 users" },
      new { Name = "orders", Delay = 20, Status = Core.EIO, Answer = "" },
      new { Name = "prices", Delay = 10, Status = 0, Answer = "3 prices" },
      new { Name = "stock", Delay = 5, Status = Core.ENOENT, Answer = "" },
      new { Name = "mail", Delay = 1, Status = 0, Answer = "no mail" },
    };
    var tasks = services.Select(s => Goroutine.Start(() => Ask(s.Delay, s.Status, s.Answer))).ToArray();
    for (int i = 0; i < tasks.Length; i++) Console.WriteLine("{0,-7} {1}", services[i].Name, Outcome(tasks[i]));
    try {
      Goroutine.JoinAll(tasks);
    } catch (EcruException e) {
      Console.WriteLine("in all: {0}", e.Message);
    }
  }
}
