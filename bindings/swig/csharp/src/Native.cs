using System;
using System.Runtime.InteropServices;

namespace Ecru {
  /// What C holds for an object. Its finalizer, which comes after all calls with it, drops that.
  internal sealed class Handle : SafeHandle {
    internal static readonly Handle None = new Handle(IntPtr.Zero);

    [DllImport("ecrusharp")]
    private static extern void ecru_csharp_drop(IntPtr pointer);

    internal Handle(IntPtr pointer) : base(IntPtr.Zero, true) { SetHandle(pointer); }

    public override bool IsInvalid { get { return handle == IntPtr.Zero; } }

    protected override bool ReleaseHandle() {
      ecru_csharp_drop(handle);
      return true;
    }
  }

  internal static class Durations {
    /// null, or .NET's InfiniteTimeSpan: no end, for C a negative number. Less than nothing: nothing.
    internal static long Nanoseconds(TimeSpan? duration) {
      if (duration == null || duration == System.Threading.Timeout.InfiniteTimeSpan) return -1;
      if (duration.Value.Ticks < 0) return 0;
      return duration.Value.Ticks < long.MaxValue / 100 ? duration.Value.Ticks * 100 : -1;
    }

    internal static ulong Size(long size) {
      if (size < 0) throw Errors.Of(Core.EINVAL);
      return (ulong)size;
    }
  }

  /// Arrays of bytes between here and C: the length, then the bytes.
  internal static class Blocks {
    [DllImport("ecrusharp")]
    private static extern void ecru_csharp_free(IntPtr block);

    internal static IntPtr Make(byte[] data) {
      if (data == null) throw new ArgumentNullException("data");
      IntPtr block = Marshal.AllocHGlobal(data.Length + 8);
      Marshal.WriteInt64(block, data.Length);
      Marshal.Copy(data, 0, block + 8, data.Length);
      return block;
    }

    internal static void Free(IntPtr block) { Marshal.FreeHGlobal(block); }

    internal static byte[] Take(IntPtr block) {
      if (block == IntPtr.Zero) return null;
      try {
        byte[] data = new byte[Marshal.ReadInt64(block)];
        Marshal.Copy(block + 8, data, 0, data.Length);
        return data;
      } finally {
        ecru_csharp_free(block);
      }
    }
  }
}
