using System;
using System.Collections;
using System.Collections.Generic;

namespace Ecru {
  /// <summary>What a full channel does with one more.</summary>
  public enum Full { Wait = 0, DropNewest = 1, DropOldest = 2, Fail = 3 }

  /// <summary>
  /// What all channels have. A loop over one receives until it is closed and empty. Sending and receiving park the calling thread and end with a
  /// CancelledException or DeadlineException when its current token fires: then nothing was sent or received.
  /// </summary>
  public abstract class AnyChan<T> : IEnumerable<T> {
    internal readonly NativeChan Native;

    internal AnyChan(long? capacity, bool ofBytes, Full full, string name) {
      if (capacity < 0) throw Errors.Of(Core.EINVAL);
      Native = new NativeChan(capacity ?? -1, ofBytes, (int)full, name);
    }

    internal AnyChan(NativeChan native) { Native = native; }

    /// <summary>Waits while there is neither a receiver nor room.</summary>
    public abstract void Send(T value);
    /// <summary>returns: whether it was sent.</summary>
    public abstract bool TrySend(T value);
    /// <summary>Waits while there is nothing. A closed one throws once it is empty.</summary>
    public abstract T Recv();
    /// <summary>returns: false: nothing is there.</summary>
    public abstract bool TryRecv(out T value);
    /// <summary>Recv for loops. returns: false: it is closed and empty.</summary>
    public abstract bool Next(out T value);
    internal abstract T Received(NativeSelect select);

    /// <summary>What is in it can still be received. cause: what receivers get after that, a negative status; 0: ECLOSED.</summary>
    public void Close(int cause = 0) { Native.Close(cause); }
    public bool IsClosed { get { return Native.IsClosed(); } }
    /// <summary>How many are in it.</summary>
    public long Count { get { return Native.Len(); } }
    /// <summary>null: no end.</summary>
    public long? Capacity { get { long n = Native.Cap(); return n < 0 ? (long?)null : n; } }

    public IEnumerator<T> GetEnumerator() {
      T value;
      while (Next(out value)) yield return value;
    }
    IEnumerator IEnumerable.GetEnumerator() { return GetEnumerator(); }
  }

  /// <summary>A channel of objects. What is in it is in a table of its own: dropped with it, also if a value refers to the channel.</summary>
  public sealed class Chan<T> : AnyChan<T> {
    private readonly Dictionary<long, T> values = new Dictionary<long, T>(); // itself
    private readonly bool drops;
    private long last;

    public Chan(long? capacity = 0, Full full = Full.Wait, string name = null) : base(capacity, false, full, name) {
      drops = full == Full.DropNewest || full == Full.DropOldest;
    }

    /// <summary>How many objects it holds on to, those of senders that wait included.</summary>
    public int Held { get { lock (values) return values.Count; } }

    internal long Put(T value) {
      lock (values) {
        values.Add(++last, value);
        return last;
      }
    }

    internal T Take(long ticket) {
      lock (values) {
        T value;
        values.TryGetValue(ticket, out value);
        values.Remove(ticket);
        return value;
      }
    }

    internal void ForgetPushedOut() {
      long ticket = drops ? NativeChan.PushedOut() : 0;
      if (ticket != 0) Take(ticket);
    }

    public override void Send(T value) {
      long ticket = Put(value);
      bool sent = false;
      try {
        Native.Send(ticket);
        sent = true;
      } finally {
        if (!sent) Take(ticket);
      }
      ForgetPushedOut();
    }

    public override bool TrySend(T value) {
      long ticket = Put(value);
      bool sent = false;
      try {
        sent = Native.TrySend(ticket);
      } finally {
        if (!sent) Take(ticket);
      }
      ForgetPushedOut();
      return sent;
    }

    public override T Recv() { return Take(Native.Recv()); }

    public override bool TryRecv(out T value) {
      long ticket;
      bool got = Native.TryRecv(out ticket);
      value = got ? Take(ticket) : default(T);
      return got;
    }

    public override bool Next(out T value) {
      long ticket;
      bool got = Native.Next(out ticket);
      value = got ? Take(ticket) : default(T);
      return got;
    }

    internal override T Received(NativeSelect select) { return Take(select.Value()); }
  }

  /// <summary>A channel of 64-bit numbers, which goroutines of C can share.</summary>
  public sealed class LongChan : AnyChan<long> {
    public LongChan(long? capacity = 0, Full full = Full.Wait, string name = null) : base(capacity, false, full, name) {}
    private LongChan(NativeChan native) : base(native) {}

    /// <summary>A channel of int64_t whose reference, an ecru_chan *, C code gives away.</summary>
    public static LongChan At(long address) { return new LongChan(NativeChan.At(address, false)); }
    /// <summary>A reference for C code, which releases it.</summary>
    public long Retain() { return Native.Retain(); }

    public override void Send(long value) { Native.Send(value); }
    public override bool TrySend(long value) { return Native.TrySend(value); }
    public override long Recv() { return Native.Recv(); }
    public override bool TryRecv(out long value) { return Native.TryRecv(out value); }
    public override bool Next(out long value) { return Native.Next(out value); }
    internal override long Received(NativeSelect select) { return select.Value(); }
  }

  /// <summary>A channel of bytes, by copy, which goroutines of C can share.</summary>
  public sealed class ByteChan : AnyChan<byte[]> {
    public ByteChan(long? capacity = 0, Full full = Full.Wait, string name = null) : base(capacity, true, full, name) {}
    private ByteChan(NativeChan native) : base(native) {}

    /// <summary>As LongChan.At: elements are {char *data; size_t length}, of malloc, freed by who has received them.</summary>
    public static ByteChan At(long address) { return new ByteChan(NativeChan.At(address, true)); }
    /// <summary>As LongChan.Retain.</summary>
    public long Retain() { return Native.Retain(); }

    public override void Send(byte[] value) { Native.SendBytes(value); }
    public override bool TrySend(byte[] value) { return Native.TrySendBytes(value); }
    public override byte[] Recv() { return Native.RecvBytes(); }
    public override bool TryRecv(out byte[] value) { return (value = Native.TryRecvBytes()) != null; }
    public override bool Next(out byte[] value) { return (value = Native.NextBytes()) != null; }
    internal override byte[] Received(NativeSelect select) { return select.ValueBytes(); }
  }
}
