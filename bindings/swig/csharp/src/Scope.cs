using System;
using System.Threading;

namespace Ecru {
  /// <summary>
  /// What the caller does until it is disposed of is under a token, a timeout or a shield: using (Scope.Timeout(t)) { ... }. It belongs to its thread: what goes on
  /// in another one after an await is not under it, and disposing of it there, or before one in it, is refused (EPERM).
  /// </summary>
  /// C knows scopes of threads, and an async method that waits gives its thread to others. The flow of such a method has its innermost scope in an
  /// AsyncLocal, which tells when a thread changes to another flow: the scopes of the one are left and those of the other entered then. What is thrown there
  /// ends the process: what cannot be left, or entered, is not entered any more, which its Dispose says.
  public sealed class Scope : IDisposable {
    private static readonly AsyncLocal<Scope> innermost = new AsyncLocal<Scope>(FlowChanged);
    [ThreadStatic] private static Scope entered; // the innermost that is entered now in the thread
    private readonly Thread owner = Thread.CurrentThread;
    private readonly Scope outer = innermost.Value; // of the same flow; perhaps another thread's, or left meanwhile
    private Token token;                            // while it is not entered; null: it cannot be again
    private bool left;

    /// What it is about has been entered.
    private Scope() { innermost.Value = entered = this; }

    /// It, or the next one around it, that can be entered in the calling thread.
    private static Scope Here(Scope scope) {
      while (scope != null && (scope.left || scope.owner != Thread.CurrentThread)) scope = scope.outer;
      return scope;
    }

    private static bool IsAround(Scope scope, Scope inner) {
      for (; inner != null; inner = Here(inner.outer))
        if (inner == scope) return true;
      return false;
    }

    private static void FlowChanged(AsyncLocalValueChangedArgs<Scope> change) {
      if (!change.ThreadContextChanged) return;
      Scope now = Here(change.CurrentValue);
      while (entered != null && !IsAround(entered, now)) {
        Token token = null;
        Try(() => token = Token.Current());
        entered.token = Try(Core.LeaveScope) ? token : null;
        entered = Here(entered.outer);
      }
      Enter(now);
    }

    private static void Enter(Scope scope) {
      if (scope == entered) return;
      Scope around = Here(scope.outer);
      Enter(around);
      if (entered == around && scope.token != null && Try(scope.token.Enter)) entered = scope;
    }

    private static bool Try(Action action) {
      try {
        action();
        return true;
      } catch (Exception e) when (e is IEcruError) {
        return false;
      }
    }

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
      if (entered != this) throw Errors.Of(Core.EPERM);
      left = true;
      Core.LeaveScope();
      innermost.Value = outer;
      entered = Here(outer);
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
