using System;
using System.Collections.Generic;
using System.Runtime.ExceptionServices;
using System.Threading;
using System.Threading.Tasks;

namespace Ecru {
  public interface IGoroutine {
    /// <summary>Waits for its end; throws what it has thrown.</summary>
    object Join();
    void Cancel(int cause = 0);
    bool IsDone { get; }
    Token Token { get; }
  }

  internal interface INative {
    NativeTask Native { get; }
  }

  /// <summary>
  /// A thread of the virtual machine's with a task of ecru's that can be waited for, many times and from many places. It runs under a token of
  /// its own, a child of its starter's.
  /// </summary>
  public sealed class Goroutine<T> : IGoroutine, INative {
    private readonly TaskCompletionSource<T> completion = new TaskCompletionSource<T>();
    private readonly NativeTask native;
    private readonly Thread thread;
    private readonly Token token;
    private Exception thrown; // set before the job has finished
    private T value;          // likewise

    internal Goroutine(Func<T> body, Token parent, string name) {
      if (body == null) throw new ArgumentNullException("body");
      Job job = new Job();
      native = NativeTask.Adopt(job, parent, name);
      token = native.Token();
      thread = new Thread(() => Run(body, job));
      thread.IsBackground = true;
      thread.Name = name;
      try {
        thread.Start();
      } catch (Exception e) when (e is ThreadStartException || e is OutOfMemoryException) {
        job.Finish(Core.ETHREADS);
        native.Join();
        throw Errors.Of(Core.ETHREADS);
      }
    }

    private void Run(Func<T> body, Job job) {
      int status = 0;
      try {
        using (Scope.Under(token)) value = body();
      } catch (Exception e) {
        thrown = e;
        status = Errors.StatusOf(e);
      }
      job.Finish(status);
      if (thrown == null) completion.TrySetResult(value);
      else if (status == Core.ECANCELED) completion.TrySetCanceled();
      else completion.TrySetException(thrown);
    }

    NativeTask INative.Native { get { return native; } }

    /// <summary>Waits for its end. Throws what it has thrown, as it was.</summary>
    public T Join() {
      if (thread == Thread.CurrentThread) throw Errors.Of(Core.EDEADLK);
      native.Join();
      if (thrown != null) ExceptionDispatchInfo.Capture(thrown).Throw();
      return value;
    }
    object IGoroutine.Join() { return Join(); }

    /// <summary>What it waits for, now and later, ends with a CancelledException.</summary>
    public void Cancel(int cause = 0) { native.Cancel(cause); }
    public bool IsDone { get { return native.State() != Core.TASK_RUNNING; } }
    public Token Token { get { return token; } }
    public long Id { get { return native.Id(); } }

    /// <summary>Completes when it ends. Who has it has asked for the failure.</summary>
    public Task<T> AsTask() {
      completion.Task.ContinueWith(ended => native.Join(), TaskContinuationOptions.ExecuteSynchronously);
      return completion.Task;
    }
  }

  public static class Goroutine {
    internal static NativeTask Native(this IGoroutine task) {
      if (task == null) throw new ArgumentNullException("task");
      return ((INative)task).Native;
    }

    /// <summary>Starts it in a thread. A failure that nobody joins is told on stderr once the collector finds the goroutine.</summary>
    public static Goroutine<T> Start<T>(Func<T> body, Token parent = null, string name = null) { return new Goroutine<T>(body, parent, name); }

    public static Goroutine<object> Start(Action body, Token parent = null, string name = null) {
      if (body == null) throw new ArgumentNullException("body");
      return new Goroutine<object>(() => { body(); return null; }, parent, name);
    }

    /// <summary>Sleeps at least so long; null: until it is cancelled.</summary>
    public static void Sleep(TimeSpan? duration) { Core.sleep(duration); }
    /// <summary>A point of cancellation without waiting.</summary>
    public static void Check() { Core.Check(); }
    /// <summary>Lets the others go first.</summary>
    public static void Yield() { Core.yield_(); }

    /// <summary>Waits for all. Throws what the first in order that failed has thrown, after all have ended.</summary>
    public static void JoinAll(params IGoroutine[] tasks) {
      CheckAll(tasks);
      ExceptionDispatchInfo failed = null;
      foreach (IGoroutine task in tasks) {
        try {
          task.Join();
        } catch (Exception e) {
          if (!task.IsDone) throw; // not the task's: the caller was cancelled
          failed = failed ?? ExceptionDispatchInfo.Capture(e);
        }
      }
      if (failed != null) failed.Throw();
    }

    /// <summary>The index of the first to succeed; the rest are cancelled and waited for.</summary>
    public static int JoinAny(params IGoroutine[] tasks) {
      CheckAll(tasks);
      if (tasks.Length == 0) throw Errors.Of(Core.EINVAL);
      IGoroutine[] left = (IGoroutine[])tasks.Clone();
      ExceptionDispatchInfo failed = null;
      try {
        for (int ended = 0; ended < tasks.Length; ended++) {
          Select select = new Select();
          foreach (IGoroutine task in left)
            if (task == null) select.Never();
            else select.Task(task);
          int index = select.Wait().Index;
          left[index] = null;
          try {
            tasks[index].Join();
            return index;
          } catch (Exception e) {
            failed = failed ?? ExceptionDispatchInfo.Capture(e);
          }
        }
      } finally {
        End(left);
      }
      failed.Throw();
      return -1;
    }

    private static void CheckAll(IGoroutine[] tasks) {
      if (tasks == null || Array.IndexOf(tasks, null) >= 0) throw new ArgumentNullException("tasks");
    }

    private static void End(IEnumerable<IGoroutine> left) {
      foreach (IGoroutine task in left)
        if (task != null) task.Cancel();
      using (Scope.Shield())
        foreach (IGoroutine task in left)
          if (task != null) task.Native().Join();
    }
  }
}
