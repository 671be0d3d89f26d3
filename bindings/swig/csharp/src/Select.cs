using System;
using System.Collections.Generic;

namespace Ecru {
  /// <summary>
  /// Waiting for the first of several: new Select().Recv(requests).Send(results, r).Token(stop).Wait(). Exactly one case happens; of several that can one at
  /// random, or the first with Priority. By one thread at a time.
  /// </summary>
  public sealed class Select {
    /// <summary>What happened: the case's index, from 0; -1: none in time. Value: what was received. Error: what the case's channel is closed with.</summary>
    public struct Result {
      public readonly int Index;
      public readonly object Value;
      public readonly Exception Error;

      internal Result(int index, object value, Exception error) {
        Index = index;
        Value = value;
        Error = error;
      }
    }

    private sealed class Case {
      internal Action<NativeSelect> Add;
      internal Func<NativeSelect, object> Happened = select => null;
      internal Action NotPicked = () => {};
    }

    private readonly List<Case> cases = new List<Case>();
    private bool priority;

    private Select Add(object waited, string name, Action<NativeSelect> add) {
      if (waited == null) throw new ArgumentNullException(name);
      cases.Add(new Case { Add = add });
      return this;
    }

    public Select Recv<T>(AnyChan<T> chan) {
      if (chan == null) throw new ArgumentNullException("chan");
      cases.Add(new Case { Add = select => select.AddRecv(chan.Native), Happened = select => chan.Received(select) });
      return this;
    }

    public Select Send<T>(Chan<T> chan, T value) {
      if (chan == null) throw new ArgumentNullException("chan");
      long ticket = 0;
      cases.Add(new Case {
        Add = select => select.AddSend(chan.Native, ticket = chan.Put(value)),
        Happened = select => { chan.ForgetPushedOut(); return null; },
        NotPicked = () => chan.Take(ticket),
      });
      return this;
    }

    public Select Send(LongChan chan, long value) { return Add(chan, "chan", select => select.AddSend(chan.Native, value)); }
    public Select Send(ByteChan chan, byte[] value) { return Add(chan, "chan", select => select.AddSendBytes(chan.Native, value)); }
    public Select Token(Token token) { return Add(token, "token", select => select.AddToken(token)); }
    /// <summary>Once it has ended.</summary>
    public Select Task(IGoroutine task) { return Add(task, "task", select => select.AddTask(task.Native())); }
    public Select Timer(Timer timer) { return Add(timer, "timer", select => select.AddTimer(timer)); }
    public Select Readable(Io io) { return Add(io, "io", select => select.AddRead(io)); }
    public Select Writable(Io io) { return Add(io, "io", select => select.AddWrite(io)); }
    /// <summary>A case that keeps its place and never happens.</summary>
    public Select Never() { return Add(this, null, select => select.AddNever()); }
    /// <summary>Of several cases that can the first happens.</summary>
    public Select Priority() {
      priority = true;
      return this;
    }

    /// <summary>Waits until one happens, at most so long.</summary>
    public Result Wait(TimeSpan? timeout = null) { return Wait(timeout, false); }
    /// <summary>Makes one happen if that needs no waiting.</summary>
    public Result Poll() { return Wait(null, true); }

    private Result Wait(TimeSpan? timeout, bool poll) {
      Case happened = null;
      int added = 0;
      using (NativeSelect select = new NativeSelect()) {
        try {
          foreach (Case one in cases) {
            added++;
            one.Add(select);
          }
          int index = select.Wait(timeout, poll, priority);
          if (index < 0) return new Result(-1, null, null);
          int error = select.Error();
          if (error != 0) return new Result(index, null, Errors.Of(error));
          happened = cases[index];
          return new Result(index, happened.Happened(select), null);
        } finally {
          for (int i = 0; i < added; i++)
            if (cases[i] != happened) cases[i].NotPicked();
        }
      }
    }
  }
}
