using System;
using System.Threading;

namespace Ecru {
  /// <summary>What the caller does until it is disposed of is under a token, a timeout or a shield: using (Scope.Timeout(t)) { ... }.</summary>
  public sealed class Scope : IDisposable {
    private readonly Thread owner = Thread.CurrentThread;
    private bool left;

    private Scope() {}

    /// <summary>It ends once the token fires.</summary>
    public static Scope Under(Token token) {
      if (token == null) throw new ArgumentNullException("token");
      token.Enter();
      return new Scope();
    }

    /// <summary>It ends after so long, with a DeadlineException.</summary>
    public static Scope Timeout(TimeSpan timeout) {
      Core.EnterTimeout(timeout);
      return new Scope();
    }

    /// <summary>It is not cancelled from outside.</summary>
    public static Scope Shield() {
      Core.EnterShield(null);
      return new Scope();
    }

    public void Dispose() {
      if (left) return;
      if (owner != Thread.CurrentThread) throw Errors.Of(Core.EPERM);
      left = true;
      Core.LeaveScope();
    }
  }

  /// <summary>Tokens of .NET and ecru's.</summary>
  public static class Cancellation {
    /// <summary>A child of the caller's current token that fires when the other is cancelled, too. Disposing of the registration ends that.</summary>
    public static Token ToToken(this CancellationToken cancellation, out CancellationTokenRegistration registration) {
      Token token = new Token(null, null);
      registration = cancellation.Register(() => token.Cancel(0));
      return token;
    }

    /// <summary>Cancelled when the token fires. A thread waits for that, until the source is cancelled.</summary>
    public static CancellationTokenSource ToCancellation(this Token token) {
      CancellationTokenSource source = new CancellationTokenSource();
      Token unused = new Token(null, null);
      source.Token.Register(() => unused.Cancel(0));
      Thread thread = new Thread(() => {
        try {
          new Select().Token(token).Token(unused).Wait();
          source.Cancel();
        } catch (Exception e) when (e is IEcruError || e is ObjectDisposedException) {
          // the runtime ends, or the source has been disposed of
        }
      });
      thread.IsBackground = true;
      thread.Start();
      return source;
    }
  }
}
