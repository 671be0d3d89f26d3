package dev.ecru;

/** A goroutine of C and threads of Java share two channels. With the library that has tests/peer.c in it. */
public final class Peer {
  private Peer() {}

  /** Starts a goroutine of C that doubles numbers until the first channel is closed, then closes the second. */
  private static native int doubleAll(long from, long to);

  private static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }

  public static void main(String[] arguments) {
    int count = Integer.parseInt(arguments[0]);
    LongChan there = new LongChan(), back = new LongChan(2);
    check(doubleAll(there.retain(), back.retain()) == 0, "the goroutine was not started");
    Task<Void> sender =
        Ecru.spawn(
            () -> {
              for (int i = 0; i < count; i++) {
                if (i % 2 == 0) there.send(i);
                else check(new Select().send(there, i).never().await().index() == 0, "a send was not picked");
              }
              there.close();
              return null;
            });
    long next = 0;
    for (long number : back) check(number == 2 * next++, "number " + number);
    check(next == count, next + " numbers came back");
    sender.join();
    LongChan adopted = LongChan.at(back.retain());
    check(adopted.isClosed(), "another channel");
  }
}
