using System;
using System.Collections.Generic;
using System.Runtime.ExceptionServices;
using System.Threading;

namespace Ecru {
  /// <summary>
  /// A scope of threads: none outlives Wait, or the end of using (var group = new Group()) { ... }. The first failure cancels the others, unless it is a supervisor.
  /// </summary>
  /// It is not C's own group, as Java's is: C knows nothing of threads that the virtual machine starts, so each would need a goroutine besides
  /// that waits for its end, and a way to say that it has not begun. That is more than what is here.
  public sealed class Group : IDisposable {
    private readonly Token token;
    private readonly WaitGroup running = new WaitGroup();
    private readonly Semaphore slots;
    private readonly bool supervisor;
    private readonly List<Exception> errors = new List<Exception>(); // itself
    private Exception givenUp;                                       // errors
    private volatile bool waited;
    [ThreadStatic] private static Group own; // whose the calling thread is

    /// <param name="limit">so many at once; 0: no limit</param>
    public Group(Token parent = null, long limit = 0, bool supervisor = false) {
      if (limit < 0) throw Errors.Of(Core.EINVAL);
      token = new Token(parent, null);
      slots = limit == 0 ? null : new Semaphore(limit);
      this.supervisor = supervisor;
    }

    public Token Token { get { return token; } }
    /// <summary>Those that have failed so far, in order of time.</summary>
    public Exception[] Failures { get { lock (errors) return errors.ToArray(); } }
    public void Cancel(int cause = 0) { token.Cancel(cause); }

    /// <summary>Starts it in a thread, once fewer than the limit run.</summary>
    public void Go(Action body, string name = null) {
      if (body == null) throw new ArgumentNullException("body");
      if (waited) throw Errors.Of(Core.ESHUTDOWN);
      if (slots != null)
        using (Scope.Under(token)) slots.Acquire(1);
      running.Add(1);
      try {
        if (token.Error() != 0) throw Errors.Of(token.Error());
        Thread thread = new Thread(() => Run(body));
        thread.IsBackground = true;
        thread.Name = name;
        thread.Start();
      } catch (Exception e) {
        Leave();
        if (e is ThreadStartException || e is OutOfMemoryException) throw Errors.Of(Core.ETHREADS);
        throw;
      }
    }

    private void Run(Action body) {
      own = this;
      try {
        using (Scope.Under(token)) body();
      } catch (Exception e) {
        Fail(e);
      }
      Leave();
    }

    private void Fail(Exception e) {
      lock (errors) {
        if (Errors.StatusOf(e) == Core.ECANCELED && token.Error() != 0) {
          givenUp = givenUp ?? e;
          return;
        }
        errors.Add(e);
      }
      if (!supervisor) token.Cancel(Errors.StatusOf(e));
    }

    private void Leave() {
      if (slots != null) slots.Release(1);
      running.Done();
    }

    /// <summary>Waits for all. Throws the first failure. Who is cancelled meanwhile cancels them and waits on.</summary>
    public void Wait() {
      if (own == this) throw Errors.Of(Core.EDEADLK);
      Exception cancelled = null;
      try {
        running.Wait();
      } catch (Exception e) {
        cancelled = e;
        Cancel();
        using (Scope.Shield()) running.Wait();
      }
      waited = true;
      lock (errors) {
        Exception first = errors.Count > 0 ? errors[0] : cancelled ?? givenUp;
        if (first != null) ExceptionDispatchInfo.Capture(first).Throw();
      }
    }

    /// <summary>Wait, unless that was done; what gave up after a Cancel is no failure.</summary>
    public void Dispose() {
      try {
        if (!waited) Wait();
      } catch (CancelledException) when (token.Error() != 0) {
        // as asked for
      }
    }
  }
}
