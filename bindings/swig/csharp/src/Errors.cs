using System;
using System.Runtime.InteropServices;
using System.Threading;

namespace Ecru {
  /// <summary>What all of ecru's exceptions have: a negative status and its name, such as "ECRU_ECLOSED".</summary>
  public interface IEcruError {
    int Code { get; }
    string Name { get; }
  }

  /// <summary>What ecru says no with.</summary>
  public class EcruException : Exception, IEcruError {
    public EcruException(int code) : base(Core.status_text(code)) { Code = code; }
    public int Code { get; private set; }
    public string Name { get { return Core.status_name(Code); } }
  }

  /// <summary>A closed channel that is empty, or a closed object.</summary>
  public sealed class ClosedException : EcruException {
    public ClosedException() : base(Core.ECLOSED) {}
  }

  /// <summary>The caller's token was cancelled.</summary>
  public sealed class CancelledException : OperationCanceledException, IEcruError {
    public CancelledException() : base(Core.status_text(Core.ECANCELED)) {}
    public int Code { get { return Core.ECANCELED; } }
    public string Name { get { return Core.status_name(Core.ECANCELED); } }
  }

  /// <summary>A deadline has passed.</summary>
  public sealed class DeadlineException : TimeoutException, IEcruError {
    public DeadlineException() : base(Core.status_text(Core.ETIMEDOUT)) {}
    public int Code { get { return Core.ETIMEDOUT; } }
    public string Name { get { return Core.status_name(Core.ETIMEDOUT); } }
  }

  public static class Errors {
    private delegate void Failed(int status);
    private static readonly Failed failed = Fail; // C has it as long as the process lives

    [DllImport("ecrusharp")]
    private static extern void ecru_csharp_start(Failed failed);

    [DllImport("ecrusharp")]
    private static extern void ecru_csharp_end();

    internal static bool Start() {
      ecru_csharp_start(failed);
      // Mono, unlike .NET, aborts what runs in the background, and waits until it has ended. A thread that waits in C notices only when it is woken.
      if (Type.GetType("Mono.Runtime") != null) AppDomain.CurrentDomain.ProcessExit += (sender, arguments) => ecru_csharp_end();
      return true;
    }

    /// Called by C in the thread of a call; what it makes is thrown when that has returned: no exception crosses C's frames.
    private static void Fail(int status) {
      if (status == 0) Thread.Sleep(Timeout.Infinite); // the process ends: it is aborted here
      CorePINVOKE.SWIGPendingException.Set(Of(status));
    }

    /// <summary>The exception of a status.</summary>
    public static Exception Of(int status) {
      if (status == Core.ECANCELED) return new CancelledException();
      if (status == Core.ETIMEDOUT) return new DeadlineException();
      return status == Core.ECLOSED ? new ClosedException() : new EcruException(status);
    }

    /// The status that stands for an exception.
    internal static int StatusOf(Exception exception) {
      IEcruError error = exception as IEcruError;
      if (error != null) return error.Code;
      if (exception is OperationCanceledException || exception is ThreadAbortException) return Core.ECANCELED;
      return exception is TimeoutException ? Core.ETIMEDOUT : Core.EPANIC;
    }
  }
}
