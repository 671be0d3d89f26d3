// A plain runner: Tests.exe conformance <file> | others | handoff [how often] | peer <how often>. Each public static method of a class of tests is one.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Ecru;
using Mutex = Ecru.Mutex;
using Semaphore = Ecru.Semaphore;

internal static class Program {
  internal static void Check(bool holds, string what) {
    if (!holds) throw new Failed(what);
  }

  internal static T Throws<T>(Action action, int code = 0) where T : Exception {
    try {
      action();
    } catch (T e) {
      IEcruError error = e as IEcruError;
      Check(code == 0 || (error != null && error.Code == code && error.Name.StartsWith("ECRU_E")), "another code: " + e);
      return e;
    }
    throw new Failed("no " + typeof(T).Name);
  }

  private static int Conform(string path) {
    var cases = Conformance.Read(path);
    Check(cases.Count >= 60, "too few cases");
    foreach (var one in cases)
      Run(one.Key, () => {
        using (Scope.Timeout(TimeSpan.FromSeconds(60))) new Conformance().Run(one.Value);
      });
    return cases.Count;
  }

  private static int Others() {
    var tests = typeof(Tests).GetMethods().Where(method => method.DeclaringType == typeof(Tests) && method.IsStatic).ToArray();
    foreach (var test in tests) Run(test.Name, (Action)Delegate.CreateDelegate(typeof(Action), test));
    return tests.Length;
  }

  private static void Run(string name, Action test) {
    try {
      test();
    } catch (Exception e) {
      Console.Error.WriteLine("{0}: {1}", name, e);
      Environment.Exit(1);
    }
  }

  /// The program ends whatever still waits in the background, or, if it is ended by force, anywhere.
  private static void Leave(bool byForce) {
    var jobs = new Chan<int>();
    var started = new WaitGroup();
    Action[] waits = {
      () => Goroutine.Sleep(null), () => Goroutine.Sleep(TimeSpan.FromHours(1)), () => jobs.Recv(), () => { foreach (int unused in jobs) {} },
      () => { using (Scope.Timeout(TimeSpan.FromHours(1))) jobs.Recv(); }, () => new Select().Recv(jobs).Wait(),
    };
    started.Add(2 * waits.Length);
    foreach (Action wait in waits) {
      Action body = () => { started.Done(); wait(); };
      Goroutine.Start(body);
      new Thread(() => body()) { IsBackground = !byForce }.Start();
    }
    started.Wait(); // most of them wait by now; those that have yet to are no different
    AppDomain.CurrentDomain.ProcessExit += (sender, unused) => {
      var told = new Chan<int>();
      var thread = new Thread(() => {
        using (Scope.Timeout(TimeSpan.FromMilliseconds(20))) Throws<DeadlineException>(() => jobs.Recv());
        told.Send(5);
      }) { IsBackground = true };
      thread.Start();
      if (told.Recv() != 5) Console.WriteLine("error: the program's handlers cannot wait");
      thread.Join();
    };
  }

  private static void Main(string[] arguments) {
    if (arguments[0] == "handoff") {
      Handoff.Run(arguments.Length > 1 ? int.Parse(arguments[1]) : 20000);
      return;
    }
    if (arguments[0] == "leave") {
      Leave(arguments.Length > 1);
      if (arguments.Length > 1) Environment.Exit(int.Parse(arguments[1]));
      return;
    }
    if (arguments[0] == "peer") {
      Peer.Run(int.Parse(arguments[1]));
      Environment.Exit(0);
    }
    int count = arguments[0] == "conformance" ? Conform(arguments[1]) : Others();
    Console.WriteLine("{0} passed", count);
    Environment.Exit(0); // goroutines that still run do not keep it
  }
}

public static class Tests {
  private static TimeSpan Ms(double n) { return TimeSpan.FromMilliseconds(n); }

  public static void A_loop_ends_with_the_channel() {
    var chan = new Chan<string>(2);
    var sender = Goroutine.Start(() => {
      foreach (string text in new[] { "a", null, "c" }) chan.Send(text);
      chan.Close();
    });
    Program.Check(chan.ToArray().SequenceEqual(new[] { "a", null, "c" }), "other values");
    sender.Join();
    var bytes = new ByteChan(2);
    bytes.Send(new byte[0]);
    bytes.Send(Encoding.UTF8.GetBytes("a\0b"));
    bytes.Close();
    Program.Check(bytes.Select(b => b.Length).SequenceEqual(new[] { 0, 3 }), "other bytes");
    var numbers = new LongChan(2);
    numbers.Send(long.MinValue);
    numbers.Close(Core.EIO);
    Program.Check(numbers.Recv() == long.MinValue, "another number");
    Program.Throws<EcruException>(() => numbers.Recv(), Core.EIO);
  }

  public static void Exceptions_are_those_of_the_language() {
    var chan = new Chan<int>();
    using (Scope.Timeout(Ms(1))) Program.Throws<TimeoutException>(() => chan.Recv(), Core.ETIMEDOUT);
    var token = new Token(null, null);
    token.Cancel(0);
    using (Scope.Under(token)) Program.Throws<OperationCanceledException>(() => chan.Send(1), Core.ECANCELED);
    chan.Close();
    Program.Throws<ClosedException>(() => chan.Recv(), Core.ECLOSED);
    var oh = new InvalidOperationException("oh");
    var task = Goroutine.Start(() => { throw oh; });
    for (int i = 0; i < 2; i++) Program.Check(Program.Throws<InvalidOperationException>(() => task.Join()) == oh, "another exception");
  }

  public static void Wrong_arguments() {
    Program.Throws<EcruException>(() => new Chan<int>(-1), Core.EINVAL);
    Program.Throws<EcruException>(() => new Chan<int>(0, Full.DropOldest), Core.EINVAL);
    Program.Throws<EcruException>(() => new Semaphore(0), Core.EINVAL);
    Program.Throws<EcruException>(() => new Cond().Wait(null), Core.EINVAL);
    Program.Throws<EcruException>(() => LongChan.At(0), Core.EINVAL);
    long bytes = new ByteChan(1).Retain(), numbers = new LongChan(1).Retain();
    Program.Throws<EcruException>(() => LongChan.At(bytes), Core.EINVAL);
    Program.Throws<EcruException>(() => ByteChan.At(numbers), Core.EINVAL);
    ByteChan.At(bytes).Close(); // references that were not taken
    LongChan.At(numbers).Close();
    Program.Throws<ArgumentNullException>(() => new ByteChan(1).Send(null));
    Program.Throws<ArgumentNullException>(() => new Select().Send((LongChan)null, 1));
    Program.Throws<ArgumentNullException>(() => new Select().Token(null));
    Program.Throws<ArgumentNullException>(() => new Select().Readable(null));
    Program.Throws<ArgumentNullException>(() => Goroutine.JoinAll(null));
    var failed = Goroutine.Start(() => { throw new InvalidOperationException(); });
    Program.Throws<ArgumentNullException>(() => Goroutine.JoinAny(failed, null));
    Program.Throws<InvalidOperationException>(() => failed.Join());
    Program.Throws<ArgumentNullException>(() => Goroutine.Start((Action)null));
    Program.Throws<ArgumentNullException>(() => Scope.Under(null));
    Program.Throws<EcruException>(() => Goroutine.JoinAny(), Core.EINVAL);
  }

  public static void Use_after_dispose() {
    var mutex = new Mutex();
    mutex.Dispose();
    mutex.Dispose();
    Program.Throws<ClosedException>(() => mutex.Lock(), Core.ECLOSED);
    var semaphore = new Semaphore(1);
    semaphore.Acquire();
    var task = Goroutine.Start(() => semaphore.Acquire(1));
    semaphore.Dispose(); // perhaps while it waits there
    task.Cancel();
    Program.Throws<Exception>(() => task.Join());
  }

  public static void Nothing_is_left_of_what_gave_way_or_was_not_sent() {
    foreach (Full policy in new[] { Full.DropNewest, Full.DropOldest }) {
      var full = new Chan<object>(2, policy);
      for (int i = 0; i < 10; i++) full.Send(new object());
      for (int i = 0; i < 10; i++) new Select().Send(full, new object()).Wait();
      Program.Check(full.Held == 2, "held " + full.Held);
    }
    var chan = new Chan<object>(1);
    chan.Send(1);
    Program.Check(!chan.TrySend(2), "sent");
    Program.Check(new Select().Send(chan, 3).Poll().Index == -1, "selected");
    using (Scope.Timeout(Ms(1))) Program.Throws<DeadlineException>(() => chan.Send(4));
    Program.Check(chan.Held == 1, "held " + chan.Held);
  }

  private static WeakReference Cycle() {
    var chan = new Chan<object>(1);
    chan.Send(new object[] { chan });
    return new WeakReference(chan);
  }

  public static void The_collector_finds_cycles_through_channels() {
    var references = new List<WeakReference>();
    var maker = new Thread(() => { for (int i = 0; i < 100; i++) references.Add(Cycle()); }); // its stack is gone with it
    maker.Start();
    maker.Join();
    for (int i = 0; i < 3; i++) {
      GC.Collect();
      GC.WaitForPendingFinalizers();
    }
    int alive = references.Count(r => r.IsAlive);
    Program.Check(alive < 10, "alive: " + alive);
  }

  public static void Many_wait_while_the_collector_runs() {
    int crowd = int.Parse(Environment.GetEnvironmentVariable("ECRU_CROWD") ?? "300");
    var chan = new Chan<string>();
    var tasks = Enumerable.Range(0, crowd).Select(i => Goroutine.Start(() => chan.Recv())).ToArray();
    for (int i = 0; i < 5; i++) GC.Collect();
    for (int i = 0; i < crowd; i++) {
      chan.Send("value " + i);
      if (i % 100 == 0) GC.Collect();
    }
    Program.Check(tasks.Select(task => task.Join()).Distinct().Count() == crowd, "values");
    Program.Check(chan.Held == 0, "held");
    for (int i = 0; i < 2000; i++) new Chan<object>(8).Send(new Mutex());
    GC.Collect();
    GC.WaitForPendingFinalizers();
  }

  public static void Tasks_of_the_language() {
    Program.Check(Goroutine.Start(() => 42).AsTask().Result == 42, "result");
    var failing = Goroutine.Start<int>(() => { throw new InvalidOperationException("oh"); }).AsTask();
    Program.Check(Program.Throws<AggregateException>(failing.Wait).InnerException is InvalidOperationException, "inner");
    var waiting = Goroutine.Start(() => new Chan<int>().Recv());
    Task<int> cancelled = waiting.AsTask();
    waiting.Cancel();
    Program.Throws<AggregateException>(cancelled.Wait);
    Program.Check(cancelled.IsCanceled, "not cancelled");
  }

  public static void Tokens_of_both_kinds() {
    var source = new CancellationTokenSource();
    CancellationTokenRegistration registration;
    var token = source.Token.ToToken(out registration);
    var task = Goroutine.Start(() => Goroutine.Sleep(null), token);
    source.Cancel();
    Program.Throws<OperationCanceledException>(() => task.Join(), Core.ECANCELED);
    registration.Dispose();
    var other = new Token(null, null);
    var cancellation = other.ToCancellation();
    other.Cancel();
    Program.Check(cancellation.Token.WaitHandle.WaitOne(TimeSpan.FromSeconds(30)), "not cancelled");
  }

  private static async Task Under_a_scope(Task gate) {
    using (Scope.Timeout(TimeSpan.Zero))
    using (Scope.Timeout(TimeSpan.FromSeconds(100))) await gate;
  }

  private static async Task Under_none(Task gate) {
    await gate;
    Goroutine.Check();
  }

  public static void An_await_leaves_the_scope() {
    var gate = new TaskCompletionSource<int>();
    Task waiting = Under_a_scope(gate.Task);
    Goroutine.Check(); // not under the scopes of what does not run
    using (Scope.Timeout(TimeSpan.FromSeconds(100))) Goroutine.Check();
    var other = new Thread(() => {
      gate.SetResult(1); // goes on here
      Goroutine.Check();
    });
    other.Start();
    other.Join();
    var thrown = Program.Throws<AggregateException>(waiting.Wait).InnerException as EcruException;
    Program.Check(thrown != null && thrown.Code == Core.EPERM, "not refused");
    Goroutine.Check();
  }

  public static void What_goes_on_in_a_scope_has_its_own() {
    var gates = new[] { new TaskCompletionSource<int>(), new TaskCompletionSource<int>() };
    Task waiting = Under_none(gates[0].Task);
    Task scoped = Under_a_scope(gates[1].Task);
    using (Scope.Timeout(TimeSpan.Zero)) {
      foreach (var gate in gates) gate.SetResult(1); // both go on here
      Program.Throws<DeadlineException>(Goroutine.Check);
    }
    waiting.Wait();
    scoped.Wait(); // on the thread it began on
    Goroutine.Check();
  }

  private static async Task Under_a_scope_left_by_hand(Task gate) {
    using (Scope.Timeout(TimeSpan.FromSeconds(100)))
    using (Scope.Timeout(TimeSpan.FromSeconds(100))) {
      Core.LeaveScope();
      await gate;
    }
  }

  public static void What_cannot_be_left_at_an_await_is_refused_when_it_is_disposed_of() {
    var gates = new[] { new TaskCompletionSource<int>(), new TaskCompletionSource<int>() };
    Task wrong = Under_a_scope_left_by_hand(gates[0].Task);
    Task scoped = Under_a_scope(gates[1].Task);
    foreach (var gate in gates) gate.SetResult(1); // both go on here
    var thrown = Program.Throws<AggregateException>(wrong.Wait).InnerException as EcruException;
    Program.Check(thrown != null && thrown.Code == Core.EPERM, "not refused");
    scoped.Wait();
    Goroutine.Check();
    Program.Throws<EcruException>(Core.LeaveScope, Core.EPERM); // none is left entered
  }

  public static void A_scope_is_its_threads_and_left_inside_out() {
    Exception other = null;
    var outer = Scope.Timeout(TimeSpan.Zero);
    var thread = new Thread(() => {
      Goroutine.Check();
      other = Program.Throws<EcruException>(outer.Dispose, Core.EPERM);
    });
    thread.Start();
    thread.Join();
    Program.Check(other != null, "disposed of elsewhere");
    var inner = Scope.Shield();
    Program.Throws<EcruException>(outer.Dispose, Core.EPERM);
    inner.Dispose();
    Program.Throws<DeadlineException>(Goroutine.Check);
    outer.Dispose();
    outer.Dispose();
    Goroutine.Check();
  }

  public static void A_group_waits_and_its_error_is_the_first() {
    var done = new LongChan(3);
    using (var group = new Group())
      for (int i = 0; i < 3; i++) group.Go(() => done.Send(1));
    Program.Check(done.Count == 3, "not all");
    Program.Throws<InvalidOperationException>(() => {
      using (var group = new Group()) {
        group.Go(() => Goroutine.Sleep(null));
        group.Go(() => { throw new InvalidOperationException("first"); });
      }
    });
  }

  public static void Sockets() {
    using (Io listener = Io.Listen("tcp", "127.0.0.1:0")) {
      var server = Goroutine.Start(() => {
        Io peer = listener.Accept();
        for (byte[] line; (line = peer.ReadLine()) != null;) peer.Write(Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(line).ToUpper() + "\n"));
        peer.Close();
      });
      Io connection = Io.Dial("tcp", Encoding.UTF8.GetString(listener.LocalAddress()));
      connection.Write(Encoding.UTF8.GetBytes("one\ntwo\n"));
      Program.Check(Encoding.UTF8.GetString(connection.ReadExactly(8)) == "ONE\nTWO\n", "another answer");
      connection.Shutdown(Core.IO_WRITE);
      Program.Check(connection.ReadLine() == null, "no end");
      server.Join();
      connection.Close();
      Program.Throws<ClosedException>(() => connection.Read(1), Core.ECLOSED);
    }
  }
}
