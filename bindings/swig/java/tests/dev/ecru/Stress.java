package dev.ecru;

import java.io.IOException;
import java.lang.ref.WeakReference;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The collector at work while threads wait, and while channels with values in them are dropped: no crash, nothing left. Arguments: threads, rounds. */
public final class Stress {
  private Stress() {}

  private static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }

  /** All wait at once, in each way; the collector runs; all are woken, half by a value and half by cancellation. */
  private static void crowd(int threads) {
    Chan<Object> chan = new Chan<>();
    Token never = new Token();
    Semaphore waiting = new Semaphore(threads);
    waiting.acquire(threads);
    List<Task<Integer>> tasks = new ArrayList<>();
    for (int i = 0; i < threads; i++) {
      int way = i % 4;
      tasks.add(
          Ecru.spawn(
              () -> {
                waiting.release();
                return waitIn(way, chan, never);
              }));
    }
    waiting.acquire(threads);
    for (int i = 0; i < 3; i++) System.gc();
    for (int i = 0; i < threads; i++) if (i % 4 == 3) tasks.get(i).cancel();
    for (int i = 0; i < threads; i++) if (i % 4 != 3) chan.send(new Object());
    for (int i = 0; i < threads; i++) check(tasks.get(i).join() == (i % 4 == 3 ? 0 : 1), "thread " + i);
    check(chan.held() == 0, "values are held");
    check(Goroutines.pending() == 0, "tickets are held");
  }

  private static int waitIn(int way, Chan<Object> chan, Token never) {
    if (way == 0) return chan.recv() == null ? 0 : 1;
    if (way == 1) return chan.iterator().hasNext() ? 1 : 0;
    if (way == 2) return new Select().recv(chan).never().await().value() == null ? 0 : 1;
    try {
      never.await();
      return 1;
    } catch (CancelledException e) {
      return 0;
    }
  }

  /** What nobody can reach any more goes, in Java and in C: what channels hold, builders of a select, closed and open objects. */
  private static WeakReference<Object> dropMany(int count) {
    Object value = new Object();
    for (int i = 0; i < count; i++) {
      ByteChan bytes = new ByteChan(4);
      for (int n = 0; n < 4; n++) bytes.send(new byte[1000]);
      Chan<Object> chan = new Chan<>(2, Full.DROP_OLDEST);
      chan.send(chan);
      chan.send(value);
      chan.send(value);
      check(new Select().recv(bytes).send(chan, value).token(new Token()).poll().happened(), "nothing was ready");
      Mutex locked = new Mutex();
      if (i % 2 == 0) new Semaphore(1).close();
      check(locked.tryLock(), "a new mutex was locked");
      locked.unlock();
    }
    return new WeakReference<>(value);
  }

  private static long residentBytes() throws IOException {
    Path status = Path.of("/proc/self/status");
    if (!Files.exists(status)) return 0;
    for (String line : Files.readAllLines(status)) if (line.startsWith("VmRSS:")) return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
    return 0;
  }

  private static void collect(WeakReference<?> last) throws InterruptedException {
    while (last.get() != null) {
      System.gc();
      Thread.sleep(1);
    }
    for (int i = 0; i < 3; i++) System.gc();
  }

  public static void main(String[] arguments) throws Exception {
    int threads = Integer.parseInt(arguments[0]), rounds = Integer.parseInt(arguments[1]);
    crowd(threads);
    System.out.println(threads + " threads waited");
    int dropped = 2000;
    collect(dropMany(dropped));
    long before = residentBytes();
    for (int i = 0; i < rounds; i++) collect(dropMany(dropped));
    long grown = residentBytes() - before, bytes = 4000L * dropped * rounds;
    System.out.println("dropped channels with " + bytes / 1_000_000 + " MB in them: grown by " + grown / 1_000_000 + " MB");
    check(grown < bytes / 2, "what was dropped is still there");
  }
}
