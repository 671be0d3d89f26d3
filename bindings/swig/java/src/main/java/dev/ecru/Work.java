package dev.ecru;

/** What a goroutine runs. */
@FunctionalInterface
public interface Work {
  void run() throws Exception;
}
