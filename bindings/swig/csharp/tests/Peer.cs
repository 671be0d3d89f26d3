// Goroutines of C and threads of C# share channels: Tests.exe peer <how often>, with the library that has swig/tests/peer.c in it.
using System;
using System.Linq;
using System.Runtime.InteropServices;
using System.Text;
using Ecru;

internal static class Peer {
  [DllImport("ecrusharp")]
  private static extern int ecru_peer_double(long from, long to);
  [DllImport("ecrusharp")]
  private static extern int ecru_peer_reverse(long from, long to);

  /// Sends what there is, one half by select, and gives what comes back.
  private static T[] Through<T>(AnyChan<T> there, AnyChan<T> back, Action<T> select, T[] values) {
    var sender = Goroutine.Start(() => {
      for (int i = 0; i < values.Length; i++)
        if (i % 2 == 0) there.Send(values[i]);
        else select(values[i]);
      there.Close();
    });
    T[] got = back.ToArray();
    sender.Join();
    return got;
  }

  internal static void Run(int times) {
    LongChan there = new LongChan(), back = new LongChan(2);
    Program.Check(ecru_peer_double(there.Retain(), back.Retain()) == 0, "not started");
    long[] numbers = Enumerable.Range(0, times).Select(i => (long)i).ToArray();
    long[] doubled = Through(there, back, n => new Select().Send(there, n).Never().Wait(), numbers);
    Program.Check(doubled.SequenceEqual(numbers.Select(n => 2 * n)), "other numbers came back");
    Program.Check(LongChan.At(back.Retain()).IsClosed, "another channel");

    ByteChan forth = new ByteChan(), home = new ByteChan(2);
    Program.Check(ecru_peer_reverse(forth.Retain(), home.Retain()) == 0, "not started");
    byte[][] texts = Enumerable.Range(0, times / 4).Select(i => Encoding.UTF8.GetBytes(i + "\0")).ToArray();
    byte[][] reversed = Through(forth, home, t => new Select().Send(forth, t).Never().Wait(), texts);
    Program.Check(reversed.Length == texts.Length, reversed.Length + " texts came back");
    for (int i = 0; i < texts.Length; i++) Program.Check(reversed[i].SequenceEqual(texts[i].Reverse()), "text " + i);
    Program.Check(ByteChan.At(home.Retain()).IsClosed, "another channel of bytes");
  }
}
