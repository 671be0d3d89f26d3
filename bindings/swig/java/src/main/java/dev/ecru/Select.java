package dev.ecru;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Waiting for the first of several: {@code new Select().recv(requests).send(results, r).token(stop).await()}. Exactly one of the cases happens; of several
 * that are ready one at random, or the first with {@link #priority}. It can be waited on again and again, by one thread at a time.
 */
public final class Select {
  /**
   * What happened.
   *
   * @param index of the case, from 0 in the order in which they were added; -1: nothing happened in time
   * @param value what was received, else null
   * @param error what the case's channel is closed with, else null
   */
  public record Result(int index, Object value, EcruException error) {
    private static final Result NOTHING = new Result(-1, null, null);

    /** {@link #value} as what the channel has. */
    @SuppressWarnings("unchecked")
    public <T> T get() {
      return (T) value;
    }

    public boolean happened() {
      return index >= 0;
    }
  }

  /** Adds itself to the native select and knows what to do when it is picked, and when it is not. */
  private abstract static class Case {
    abstract void add(NativeSelect select);

    Object picked(NativeSelect select) {
      return null;
    }

    void notPicked() {}
  }

  private static final class Sending<T> extends Case {
    private final Chan<T> chan;
    private final T value;
    private long ticket;

    Sending(Chan<T> chan, T value) {
      this.chan = chan;
      this.value = Objects.requireNonNull(value);
    }

    @Override
    void add(NativeSelect select) {
      ticket = chan.tickets.put(value);
      select.addSend(chan.handle, ticket);
    }

    @Override
    Object picked(NativeSelect select) {
      ticket = 0;
      chan.forgetPushedOut();
      return null;
    }

    @Override
    void notPicked() {
      if (ticket != 0) chan.tickets.take(ticket);
      ticket = 0;
    }
  }

  private interface Adding {
    void to(NativeSelect select);
  }

  private static final class Receiving extends Case {
    private final Adding adding;
    private final java.util.function.Function<NativeSelect, Object> received;

    Receiving(Adding adding, java.util.function.Function<NativeSelect, Object> received) {
      this.adding = adding;
      this.received = received;
    }

    @Override
    void add(NativeSelect select) {
      adding.to(select);
    }

    @Override
    Object picked(NativeSelect select) {
      return received.apply(select);
    }
  }

  private final NativeSelect handle = new NativeSelect();
  private final AtomicBoolean busy = new AtomicBoolean();
  private final List<Case> cases = new ArrayList<>();
  private boolean priority;

  private Select add(Case one) {
    take();
    cases.add(one);
    busy.set(false);
    return this;
  }

  private Select addWaiting(Adding adding) {
    return add(new Receiving(adding, select -> null));
  }

  private void take() {
    if (busy.getAndSet(true)) throw new EcruException(Ecru.EBUSY);
  }

  public <T> Select recv(Chan<T> chan) {
    Objects.requireNonNull(chan);
    return add(new Receiving(select -> select.addRecv(chan.handle), select -> chan.tickets.take(select.value())));
  }

  public Select recv(LongChan chan) {
    Objects.requireNonNull(chan);
    return add(new Receiving(select -> select.addRecv(chan.handle), NativeSelect::value));
  }

  public Select recv(ByteChan chan) {
    Objects.requireNonNull(chan);
    return add(new Receiving(select -> select.addRecv(chan.handle), NativeSelect::valueBytes));
  }

  public <T> Select send(Chan<T> chan, T value) {
    Objects.requireNonNull(chan);
    return add(new Sending<>(chan, value));
  }

  public Select send(LongChan chan, long value) {
    Objects.requireNonNull(chan);
    return addWaiting(select -> select.addSend(chan.handle, value));
  }

  public Select send(ByteChan chan, byte[] value) {
    Objects.requireNonNull(chan);
    return addWaiting(select -> select.addSendBytes(chan.handle, value));
  }

  /** Ready once the token has fired. */
  public Select token(Token token) {
    return addWaiting(select -> select.addToken(token));
  }

  /** Ready once the task has ended. */
  public Select task(Task<?> task) {
    Objects.requireNonNull(task);
    return addWaiting(select -> select.addTask(task.handle()));
  }

  /** Ready when due; being picked takes the tick. */
  public Select timer(Timer timer) {
    return addWaiting(select -> select.addTimer(timer));
  }

  /** Ready once a read would not wait. */
  public Select readable(Io io) {
    return addWaiting(select -> select.addRead(io));
  }

  /** Ready once a write would not wait. */
  public Select writable(Io io) {
    return addWaiting(select -> select.addWrite(io));
  }

  /** A case that keeps its place and never happens. */
  public Select never() {
    return addWaiting(NativeSelect::addNever);
  }

  /** Of several cases that are ready the first happens. */
  public Select priority() {
    priority = true;
    return this;
  }

  /** Waits until one happens. */
  public Result await() {
    return await(null);
  }

  /** Waits at most so long. */
  public Result await(Duration timeout) {
    return await(timeout, false);
  }

  /** Makes one happen if that needs no waiting. */
  public Result poll() {
    return await(null, true);
  }

  private Result await(Duration timeout, boolean poll) {
    take();
    int index = -1;
    Case happened = null;
    try {
      for (Case one : cases) one.add(handle);
      index = handle.await(timeout, poll, priority);
      if (index < 0) return Result.NOTHING;
      int error = handle.error();
      if (error != 0) return new Result(index, null, EcruException.of(error));
      happened = cases.get(index);
      return new Result(index, happened.picked(handle), null);
    } finally {
      if (index < 0) handle.clear();
      for (Case one : cases) if (one != happened) one.notPicked();
      busy.set(false);
    }
  }
}
