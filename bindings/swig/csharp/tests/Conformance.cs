// conformance.txt, which says how it is to be read.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using Ecru;

internal sealed class Step {
  internal int Line;
  internal string[] Words;
  internal string Wanted;
  internal readonly List<Step> Steps = new List<Step>();
}

internal sealed class Failed : Exception {
  internal Failed(string message) : base(message) {}
}

/// One case: its objects and operations.
internal sealed class Conformance {
  private static readonly string[] Blocks = { "go", "in", "under", "timeout", "shield" };
  private static readonly Dictionary<string, int> Codes =
      typeof(Core).GetFields().Where(f => f.IsLiteral && f.Name[0] == 'E' && f.FieldType == typeof(int)).ToDictionary(f => f.Name, f => (int)f.GetRawConstantValue());
  private readonly Dictionary<string, object> objects = new Dictionary<string, object>();

  internal static List<KeyValuePair<string, Step>> Read(string path) {
    var cases = new List<KeyValuePair<string, Step>>();
    var open = new Stack<Step>();
    int number = 0;
    foreach (string line in File.ReadLines(path)) {
      number++;
      string[] halves = line.Split('#')[0].Split(new[] { "->" }, StringSplitOptions.None);
      string[] words = halves[0].Split(new[] { ' ' }, StringSplitOptions.RemoveEmptyEntries);
      string wanted = halves.Length > 1 ? halves[1].Trim() : null;
      if (words.Length == 0) continue;
      if (words[0] == "case") {
        if (open.Count > 1) throw new Failed("a block without end before line " + number);
        open.Clear();
        open.Push(new Step());
        cases.Add(new KeyValuePair<string, Step>(words[1], open.Peek()));
      } else if (words[0] == "end") {
        open.Pop().Wanted = wanted;
      } else {
        Step step = new Step { Line = number, Words = words, Wanted = wanted };
        open.Peek().Steps.Add(step);
        if (Blocks.Contains(words[0])) open.Push(step);
      }
    }
    return cases;
  }

  private static string Text(object value) {
    if (value == null) return "ok";
    return value is bool ? ((bool)value ? "true" : "false") : value.ToString();
  }
  private static string Name(Exception e) { return ((IEcruError)e).Name.Replace("ECRU_", ""); }
  private static object Named(int code) { return code == 0 ? "0" : Name(Errors.Of(code)); }
  private static TimeSpan Milliseconds(string word) { return TimeSpan.FromMilliseconds(double.Parse(word)); }
  private static int Code(string[] words, int index) { return words.Length > index ? Codes[words[index]] : 0; }
  private T Get<T>(string name) { return (T)objects[name]; }

  /// What a `return` among the steps gives, else null. An exception that was not expected goes on.
  internal object Run(Step block) {
    foreach (Step step in block.Steps) {
      if (step.Words[0] == "return") return long.Parse(step.Words[1]);
      if (step.Words[0] == "fail") throw Errors.Of(Codes[step.Words[1]]);
      string got;
      try {
        got = Text(Perform(step, step.Words));
      } catch (Exception e) when (e is IEcruError && step.Wanted != null) {
        got = Name(e);
      }
      if (step.Wanted != null && got != step.Wanted)
        throw new Failed(string.Format("line {0}: {1}: got {2}, not {3}", step.Line, string.Join(" ", step.Words), got, step.Wanted));
    }
    return null;
  }

  private static object Nothing(Action action) {
    action();
    return null;
  }

  private object Within(Scope scope, Step step) {
    using (scope) Run(step);
    return null;
  }

  private object Perform(Step step, string[] w) {
    long n = 0;
    if (w.Length > 2) long.TryParse(w[2], out n);
    switch (w[0]) {
    case "chan": objects[w[1]] = MakeChan(w); return null;
    case "send": return Nothing(() => Get<Chan<long>>(w[1]).Send(n));
    case "recv": return Get<Chan<long>>(w[1]).Recv();
    case "try_send": return Get<Chan<long>>(w[1]).TrySend(n);
    case "try_recv": { long value; return Get<Chan<long>>(w[1]).TryRecv(out value) ? (object)value : "none"; }
    case "close": return Nothing(() => Get<Chan<long>>(w[1]).Close(Code(w, 2)));
    case "closed": return Get<Chan<long>>(w[1]).IsClosed;
    case "len": return Get<Chan<long>>(w[1]).Count;
    case "cap": return (object)Get<Chan<long>>(w[1]).Capacity ?? "inf";
    case "go": objects[w[1]] = Goroutine.Start(() => Run(step)); return null;
    case "join": return Get<IGoroutine>(w[1]).Join();
    case "done": return Get<IGoroutine>(w[1]).IsDone;
    case "join_all": return Nothing(() => Goroutine.JoinAll(w.Skip(1).Select(Get<IGoroutine>).ToArray()));
    case "join_any": return Goroutine.JoinAny(w.Skip(1).Select(Get<IGoroutine>).ToArray()) + 1;
    case "token": objects[w[1]] = MakeToken(w.Skip(2).ToArray()); return null;
    case "error": return Named(Get<Token>(w[1]).Error());
    case "cause": return Named(Get<Token>(w[1]).Cause());
    case "under": return Within(Scope.Under(Get<Token>(w[1])), step);
    case "timeout": return Within(Scope.Timeout(Milliseconds(w[1])), step);
    case "shield": return Within(Scope.Shield(), step);
    case "sleep": return Nothing(() => Goroutine.Sleep(Milliseconds(w[1])));
    case "check": return Nothing(Goroutine.Check);
    case "yield": return Nothing(Goroutine.Yield);
    case "select": return DoSelect(string.Join(" ", w.Skip(1)));
    case "group": objects[w[1]] = new Group(null, w.Contains("limit") ? long.Parse(w.Last()) : 0, w.Contains("supervisor")); return null;
    case "in": return Nothing(() => Get<Group>(w[1]).Go(() => Run(step)));
    case "errors": return Get<Group>(w[1]).Failures.Length;
    case "cancel": return Nothing(() => Cancel(objects[w[1]], Code(w, 2)));
    case "wait": return Nothing(() => Wait(objects[w[1]]));
    case "mutex": objects[w[1]] = new Mutex(); return null;
    case "rwmutex": objects[w[1]] = new RWMutex(); return null;
    case "semaphore": objects[w[1]] = new Semaphore(n); return null;
    case "waitgroup": objects[w[1]] = new WaitGroup(); return null;
    case "barrier": objects[w[1]] = new Barrier((int)n); return null;
    case "ticker": objects[w[1]] = Timer.Ticker(Milliseconds(w[2])); return null;
    case "timer": objects[w[1]] = new Timer(Milliseconds(w[2])); return null;
    case "listener": objects[w[1]] = Io.Listen("tcp", "127.0.0.1:0"); return null;
    case "lock": return Nothing(() => { if (objects[w[1]] is Mutex) Get<Mutex>(w[1]).Lock(); else Get<RWMutex>(w[1]).Lock(); });
    case "try_lock": return objects[w[1]] is Mutex ? Get<Mutex>(w[1]).TryLock() : Get<RWMutex>(w[1]).TryLock();
    case "unlock": return Nothing(() => { if (objects[w[1]] is Mutex) Get<Mutex>(w[1]).Unlock(); else Get<RWMutex>(w[1]).Unlock(); });
    case "read_lock": return Nothing(() => Get<RWMutex>(w[1]).ReadLock());
    case "try_read_lock": return Get<RWMutex>(w[1]).TryReadLock();
    case "read_unlock": return Nothing(() => Get<RWMutex>(w[1]).ReadUnlock());
    case "acquire": return Nothing(() => Get<Semaphore>(w[1]).Acquire(n));
    case "try_acquire": return Get<Semaphore>(w[1]).TryAcquire(n);
    case "release": return Nothing(() => Get<Semaphore>(w[1]).Release(n));
    case "available": return Get<Semaphore>(w[1]).Available();
    case "add": return Nothing(() => Get<WaitGroup>(w[1]).Add(n));
    case "done_one": return Nothing(() => Get<WaitGroup>(w[1]).Done());
    case "meet": return Get<Barrier>(w[1]).Wait();
    case "stop": return Get<Timer>(w[1]).Stop();
    case "free": return Nothing(() => Get<IDisposable>(w[1]).Dispose());
    default: throw new Failed("no operation " + w[0]);
    }
  }

  private static void Cancel(object one, int cause) {
    if (one is Token) ((Token)one).Cancel(cause);
    else if (one is Group) ((Group)one).Cancel(cause);
    else ((IGoroutine)one).Cancel(cause);
  }

  private static void Wait(object one) {
    if (one is Token) ((Token)one).Wait();
    else if (one is Group) ((Group)one).Wait();
    else if (one is WaitGroup) ((WaitGroup)one).Wait();
    else ((Timer)one).Wait();
  }

  private static Chan<long> MakeChan(string[] w) {
    string policy = w.Length > 3 ? w[3].Replace("_", "") : "wait";
    return new Chan<long>(w[2] == "inf" ? (long?)null : long.Parse(w[2]), (Full)Enum.Parse(typeof(Full), policy, true));
  }

  private Token MakeToken(string[] words) {
    bool hasParent = words.Length > 0 && char.IsLetter(words[0][0]);
    string time = words.Skip(hasParent ? 1 : 0).FirstOrDefault();
    return new Token(hasParent ? Get<Token>(words[0]) : null, time == null ? (TimeSpan?)null : Milliseconds(time));
  }

  private object DoSelect(string text) {
    string[] halves = text.Split(new[] { "--" }, StringSplitOptions.None);
    string[] options = halves.Length > 1 ? halves[1].Split(new[] { ' ' }, StringSplitOptions.RemoveEmptyEntries) : new string[0];
    Select select = new Select();
    foreach (string one in halves[0].Split('|')) AddCase(select, one.Trim().Split(' '));
    if (options.Contains("priority")) select.Priority();
    Select.Result result = options.Contains("poll") ? select.Poll() : select.Wait(options.Contains("timeout") ? (TimeSpan?)Milliseconds(options.Last()) : null);
    if (result.Index < 0) return "none";
    string outcome = result.Error != null ? " " + Name(result.Error) : result.Value != null ? " " + Text(result.Value) : "";
    return result.Index + 1 + outcome;
  }

  private void AddCase(Select select, string[] w) {
    switch (w[0]) {
    case "recv": select.Recv(Get<Chan<long>>(w[1])); break;
    case "send": select.Send(Get<Chan<long>>(w[1]), long.Parse(w[2])); break;
    case "token": select.Token(Get<Token>(w[1])); break;
    case "task": select.Task(Get<IGoroutine>(w[1])); break;
    case "timer": select.Timer(new Timer(Milliseconds(w[1]))); break;
    default: select.Never(); break;
    }
  }
}
