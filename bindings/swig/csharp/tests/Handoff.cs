// There and back between two threads, in alternation with the language's own: build/swig/csharp .../Tests.exe handoff [how often]
using System;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Linq;
using System.Threading;
#if CORECLR
using System.Threading.Channels;
#endif
using Ecru;

internal static class Handoff {
  private static double ThereAndBack(int times, Action send, Action receive, Action answer) {
    Thread other = new Thread(() => { for (int i = 0; i < times; i++) answer(); });
    other.Start();
    Stopwatch watch = Stopwatch.StartNew();
    for (int i = 0; i < times; i++) {
      send();
      receive();
    }
    other.Join();
    return watch.Elapsed.TotalMilliseconds * 1000 / times;
  }

  private static double Blocking(int times) {
    var there = new BlockingCollection<object>(1);
    var back = new BlockingCollection<object>(1);
    return ThereAndBack(times, () => there.Add(times), () => back.Take(), () => back.Add(there.Take()));
  }

#if CORECLR
  /// What .NET's own has: there is no other way to wait for it in a thread.
  private static double Channels(int times) {
    var there = Channel.CreateBounded<object>(1);
    var back = Channel.CreateBounded<object>(1);
    return ThereAndBack(times, () => there.Writer.WriteAsync(times).AsTask().Wait(), () => back.Reader.ReadAsync().AsTask().Wait(),
                        () => back.Writer.WriteAsync(there.Reader.ReadAsync().AsTask().Result).AsTask().Wait());
  }
#else
  private static double Channels(int times) { return 0; } // Mono has none
#endif

  private static double Chans<T>(int times, AnyChan<T> there, AnyChan<T> back, T value) {
    return ThereAndBack(times, () => there.Send(value), () => back.Recv(), () => back.Send(there.Recv()));
  }

  internal static void Run(int times) {
    string[] names = { "BlockingCollection(1)", "Channel<T>(1)", "Chan", "Chan(1)", "LongChan" };
    double[][] rounds = Enumerable.Range(0, 5).Select(round => new[] {
      Blocking(times), Channels(times), Chans(times, new Chan<object>(), new Chan<object>(), ""), Chans(times, new Chan<object>(1), new Chan<object>(1), ""),
      Chans(times, new LongChan(), new LongChan(), 1),
    }).ToArray();
    for (int i = 0; i < names.Length; i++) {
      double[] figures = rounds.Select(round => round[i]).OrderBy(figure => figure).ToArray();
      if (figures[0] > 0) Console.WriteLine("{0,-22} least {1:F2} us, median {2:F2} us", names[i], figures[0], figures[2]);
    }
  }
}
