package dev.ecru;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Runs every case of conformance.txt, which says how it is to be read. Values are sent through channels of objects. */
public final class Conformance {
  private static final class Step {
    final int line;
    final String[] words;
    final List<Step> steps = new ArrayList<>(); // of a block or case
    String wanted;

    Step(int line, String[] words, String wanted) {
      this.line = line;
      this.words = words;
      this.wanted = wanted;
    }

    long number(int i) {
      return Long.parseLong(words[i]);
    }

    Duration milliseconds(int i) {
      return Duration.ofMillis(number(i));
    }

    int status(int i) {
      return words.length > i ? CODES.get(words[i]) : 0;
    }
  }

  private static final class Unexpected extends RuntimeException {
    private static final long serialVersionUID = 1;

    Unexpected(Step step, String got) {
      super("line " + step.line + ": " + String.join(" ", step.words) + ": got " + got + ", not " + step.wanted);
    }
  }

  private static final List<String> BLOCKS = List.of("go", "in", "under", "timeout", "shield");
  private static final Map<String, Integer> CODES = codes();

  private static Map<String, Integer> codes() {
    Map<String, Integer> codes = new HashMap<>();
    for (int code = -1; code > -2000; code--) codes.putIfAbsent(Ecru.statusName(code).replace("ECRU_", ""), code);
    return codes;
  }

  private static String nameOf(int code) {
    return code == 0 ? "0" : Ecru.statusName(code).replace("ECRU_", "");
  }

  // ---- reading -------------------------------------------------------------------------------------------------------
  private static List<Step> parse(Path path) throws IOException {
    List<Step> cases = new ArrayList<>();
    Deque<Step> open = new ArrayDeque<>();
    int number = 0;
    for (String raw : Files.readAllLines(path)) {
      number++;
      String[] halves = raw.replaceAll("#.*", "").trim().split("\\s+->\\s+");
      String[] words = halves[0].split("\\s+");
      String wanted = halves.length > 1 ? halves[1].trim() : null;
      if (words[0].isEmpty()) continue;
      Step step = new Step(number, words, wanted);
      if (words[0].equals("case")) {
        if (open.size() > 1) throw new IllegalStateException("a block without end before line " + number);
        open.clear();
        open.push(step);
        cases.add(step);
      } else if (words[0].equals("end")) open.pop().wanted = wanted;
      else {
        open.peek().steps.add(step);
        if (BLOCKS.contains(words[0])) open.push(step);
      }
    }
    return cases;
  }

  // ---- running -------------------------------------------------------------------------------------------------------
  private final Map<String, Object> objects = new ConcurrentHashMap<>();

  @SuppressWarnings("unchecked")
  private <T> T object(Step step, int i) {
    return (T) objects.get(step.words[i]);
  }

  private static String nameOf(EcruException problem) {
    if (problem.code() == Ecru.EPANIC) throw problem;
    return nameOf(problem.code());
  }

  /** The steps' outcome: null, or what one returned; an error that was not expected is thrown. */
  private Object run(Step block) {
    for (Step step : block.steps) {
      if (step.words[0].equals("return")) return step.number(1);
      if (step.words[0].equals("fail")) throw new EcruException(step.status(1));
      String got;
      try {
        Object result = perform(step);
        got = result == null ? "ok" : result.toString();
      } catch (EcruException problem) {
        got = nameOf(problem);
        if (step.wanted == null) throw problem;
      }
      if (step.wanted != null && !got.equals(step.wanted)) throw new Unexpected(step, got);
    }
    return null;
  }

  private Object runIn(Scope scope, Step step) {
    try (scope) {
      run(step);
    }
    return null;
  }

  private static Object nothing(Runnable call) {
    call.run();
    return null;
  }

  private Object perform(Step step) {
    switch (step.words[0]) {
      case "go": return nothing(() -> objects.put(step.words[1], Ecru.spawn(() -> run(step))));
      case "in": return nothing(() -> this.<Group>object(step, 1).go(() -> run(step)));
      case "under": return runIn(Scope.under(object(step, 1)), step);
      case "timeout": return runIn(Scope.timeout(step.milliseconds(1)), step);
      case "shield": return runIn(Scope.shield(null), step);
      case "sleep": return nothing(() -> Ecru.sleep(step.milliseconds(1)));
      case "check": return nothing(Ecru::check);
      case "yield": return nothing(Ecru::yieldNow);
      case "select": return select(step);
      case "join_all": return nothing(() -> Ecru.joinAll(tasks(step)));
      case "join_any": return Ecru.joinAny(tasks(step)) + 1;
      default:
    }
    Object made = make(step);
    if (made == null) return call(step, object(step, 1));
    objects.put(step.words[1], made);
    return null;
  }

  private List<Task<?>> tasks(Step step) {
    List<Task<?>> tasks = new ArrayList<>();
    for (int i = 1; i < step.words.length; i++) tasks.add(object(step, i));
    return tasks;
  }

  private Object make(Step step) {
    switch (step.words[0]) {
      case "chan": return chan(step);
      case "token": return token(step);
      case "group": return group(step);
      case "mutex": return new Mutex();
      case "rwmutex": return new RWMutex();
      case "semaphore": return new Semaphore(step.number(2));
      case "waitgroup": return new WaitGroup();
      case "barrier": return new Barrier((int) step.number(2));
      case "ticker": return Timer.ticker(step.milliseconds(2));
      case "listener": return Io.listen("tcp", "127.0.0.1:0");
      case "timer": return new Timer(step.milliseconds(2));
      default: return null;
    }
  }

  private static Chan<Long> chan(Step step) {
    if (step.words[2].equals("inf")) return Chan.unbounded();
    Full full = step.words.length > 3 ? Full.valueOf(step.words[3].toUpperCase(java.util.Locale.ROOT)) : Full.WAIT;
    return new Chan<>(step.number(2), full);
  }

  private Token token(Step step) {
    String[] words = step.words;
    boolean hasParent = words.length > 2 && !words[2].matches("-?\\d+");
    int timeout = hasParent ? 3 : 2;
    return new Token(hasParent ? object(step, 2) : null, words.length > timeout ? step.milliseconds(timeout) : null);
  }

  private static Group group(Step step) {
    List<String> options = Arrays.asList(step.words);
    int limit = options.indexOf("limit");
    return new Group(null, limit < 0 ? 0 : step.number(limit + 1), options.contains("supervisor"));
  }

  private Object call(Step step, Object object) {
    if (object instanceof Chan) return callChan(step, object(step, 1));
    if (object instanceof Task) return callTask(step, object(step, 1));
    if (object instanceof Group) return callGroup(step, object(step, 1));
    if (object instanceof Token) return callToken(step, object(step, 1));
    if (object instanceof Timer) return callTimer(step, object(step, 1));
    return callMeetingPoint(step, object);
  }

  private static Object callChan(Step step, Chan<Long> chan) {
    switch (step.words[0]) {
      case "send": return nothing(() -> chan.send(step.number(2)));
      case "recv": return chan.recv();
      case "try_send": return chan.trySend(step.number(2));
      case "try_recv": return chan.tryRecv().map(Object.class::cast).orElse("none");
      case "close": return nothing(() -> chan.closeWith(step.status(2)));
      case "closed": return chan.isClosed();
      case "len": return chan.length();
      case "cap": return chan.capacity() < 0 ? "inf" : chan.capacity();
      default: throw unknown(step);
    }
  }

  private static Object callTask(Step step, Task<?> task) {
    switch (step.words[0]) {
      case "join": return task.join();
      case "cancel": return nothing(() -> task.cancel(step.status(2)));
      case "done": return task.isDone();
      default: throw unknown(step);
    }
  }

  private static Object callGroup(Step step, Group group) {
    switch (step.words[0]) {
      case "wait": return nothing(group::join);
      case "cancel": return nothing(() -> group.cancel(step.status(2)));
      case "errors": return group.failures();
      default: throw unknown(step);
    }
  }

  private static Object callToken(Step step, Token token) {
    switch (step.words[0]) {
      case "cancel": return nothing(() -> token.cancel(step.status(2)));
      case "error": return nameOf(token.error());
      case "cause": return nameOf(token.cause());
      case "wait": return nothing(token::await);
      default: throw unknown(step);
    }
  }

  private static Object callTimer(Step step, Timer timer) {
    switch (step.words[0]) {
      case "wait": return nothing(timer::await);
      case "stop": return timer.stop();
      default: throw unknown(step);
    }
  }

  private static Object callMeetingPoint(Step step, Object object) {
    String operation = step.words[0];
    if (operation.equals("free")) return nothing(() -> close((AutoCloseable) object));
    if (object instanceof Mutex) return callMutex(operation, (Mutex) object);
    if (object instanceof RWMutex) return callRWMutex(operation, (RWMutex) object);
    if (object instanceof Semaphore) return callSemaphore(step, (Semaphore) object);
    if (object instanceof WaitGroup) return callWaitGroup(step, (WaitGroup) object);
    if (object instanceof Barrier && operation.equals("meet")) return ((Barrier) object).await();
    throw unknown(step);
  }

  private static void close(AutoCloseable object) {
    try {
      object.close();
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  private static Object callMutex(String operation, Mutex mutex) {
    switch (operation) {
      case "lock": return nothing(mutex::lock);
      case "try_lock": return mutex.tryLock();
      default: return nothing(mutex::unlock);
    }
  }

  private static Object callRWMutex(String operation, RWMutex mutex) {
    switch (operation) {
      case "lock": return nothing(mutex::lock);
      case "try_lock": return mutex.tryLock();
      case "unlock": return nothing(mutex::unlock);
      case "read_lock": return nothing(mutex::readLock);
      case "try_read_lock": return mutex.tryReadLock();
      default: return nothing(mutex::readUnlock);
    }
  }

  private static Object callSemaphore(Step step, Semaphore semaphore) {
    switch (step.words[0]) {
      case "acquire": return nothing(() -> semaphore.acquire(step.number(2)));
      case "try_acquire": return semaphore.tryAcquire(step.number(2));
      case "release": return nothing(() -> semaphore.release(step.number(2)));
      default: return semaphore.available();
    }
  }

  private static Object callWaitGroup(Step step, WaitGroup group) {
    switch (step.words[0]) {
      case "add": return nothing(() -> group.add(step.number(2)));
      case "done_one": return nothing(group::done);
      default: return nothing(group::await);
    }
  }

  private static IllegalStateException unknown(Step step) {
    return new IllegalStateException("line " + step.line + ": no operation " + step.words[0]);
  }

  // ---- select --------------------------------------------------------------------------------------------------------
  private Object select(Step step) {
    String[] halves = String.join(" ", Arrays.copyOfRange(step.words, 1, step.words.length)).split(" -- ");
    Select select = new Select();
    for (String one : halves[0].split(" \\| ")) addCase(select, new Step(step.line, one.split(" "), null));
    String[] options = halves.length > 1 ? halves[1].split(" ") : new String[0];
    if (Arrays.asList(options).contains("priority")) select.priority();
    boolean poll = Arrays.asList(options).contains("poll");
    Duration timeout = options.length > 1 ? Duration.ofMillis(Long.parseLong(options[1])) : null;
    Select.Result result = poll ? select.poll() : select.await(timeout);
    if (!result.happened()) return "none";
    if (result.error() != null) return result.index() + 1 + " " + nameOf(result.error());
    return result.index() + 1 + (result.value() == null ? "" : " " + result.value());
  }

  private void addCase(Select select, Step one) {
    switch (one.words[0]) {
      case "recv": select.recv(this.<Chan<Long>>object(one, 1)); break;
      case "send": select.send(this.<Chan<Long>>object(one, 1), one.number(2)); break;
      case "token": select.token(object(one, 1)); break;
      case "task": select.task(object(one, 1)); break;
      case "timer": select.timer(new Timer(one.milliseconds(1))); break;
      case "nothing": select.never(); break;
      default: throw unknown(one);
    }
  }

  // ---- all of them ---------------------------------------------------------------------------------------------------
  /** Runs all cases of a file. returns: how many. */
  static int runAll(Path path) throws IOException {
    List<Step> cases = parse(path);
    if (cases.size() < 60) throw new AssertionError("only " + cases.size() + " cases");
    for (Step one : cases) {
      try (Scope scope = Scope.timeout(Duration.ofSeconds(60))) {
        new Conformance().run(one);
      } catch (RuntimeException e) {
        throw new AssertionError("case " + one.words[1], e);
      }
    }
    return cases.size();
  }

  public static void main(String[] arguments) throws IOException {
    System.out.println(runAll(Path.of(arguments[0])) + " cases");
  }
}
