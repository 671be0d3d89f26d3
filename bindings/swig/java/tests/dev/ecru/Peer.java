package dev.ecru;

import java.nio.charset.StandardCharsets;

/** Goroutines of C and threads of Java share channels. With the library that has tests/peer.c in it. */
public final class Peer {
  private Peer() {}

  /** Starts a goroutine of C that doubles numbers until the first channel is closed, then closes the second. */
  private static native int doubleAll(long from, long to);

  /** The same with bytes, which it reverses. */
  private static native int reverseAll(long from, long to);

  private static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }

  public static void main(String[] arguments) {
    int count = Integer.parseInt(arguments[0]);
    numbers(count);
    bytes(count / 4);
  }

  private static void numbers(int count) {
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

  private static byte[] text(int i) {
    return (i + "\0").repeat(i % 7).getBytes(StandardCharsets.UTF_8);
  }

  private static void bytes(int count) {
    ByteChan there = new ByteChan(), back = new ByteChan(2);
    check(reverseAll(there.retain(), back.retain()) == 0, "the goroutine was not started");
    Task<Void> sender =
        Ecru.spawn(
            () -> {
              for (int i = 0; i < count; i++) {
                if (i % 2 == 0) there.send(text(i));
                else check(new Select().send(there, text(i)).never().await().index() == 0, "a send was not picked");
              }
              there.close();
              return null;
            });
    int next = 0;
    for (byte[] got : back) {
      byte[] sent = text(next++);
      check(got.length == sent.length, "a length of " + got.length);
      for (int i = 0; i < sent.length; i++) check(got[i] == sent[sent.length - 1 - i], "text " + next);
    }
    check(next == count, next + " texts came back");
    sender.join();
    check(ByteChan.at(back.retain()).isClosed(), "another channel of bytes");
  }
}
