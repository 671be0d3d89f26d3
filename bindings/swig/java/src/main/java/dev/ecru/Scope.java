package dev.ecru;

import java.time.Duration;

/**
 * What a block does under a token, within a time or shielded from cancellation: {@code try (var scope = Scope.timeout(duration)) { ... }}. Scopes
 * nest, and each is closed by the thread that opened it, the innermost first.
 */
public final class Scope implements AutoCloseable {
  private static final ThreadLocal<Scope> innermost = new ThreadLocal<>();
  private final Thread owner = Thread.currentThread();
  private final Scope outer = innermost.get();
  private boolean closed;

  private Scope() {
    innermost.set(this);
  }

  /** The token is the caller's current one. */
  public static Scope under(Token token) {
    token.enter();
    return new Scope();
  }

  /** What waits in it ends with a {@link DeadlineException} after so long; null: never. */
  public static Scope timeout(Duration timeout) {
    Core.enterTimeout(timeout);
    return new Scope();
  }

  /** For cleaning up: nothing from outside cancels what waits in it, but it ends after so long; null: never. */
  public static Scope shield(Duration timeout) {
    Core.enterShield(timeout);
    return new Scope();
  }

  /** @throws IllegalStateException it is not the innermost of the calling thread */
  @Override
  public void close() {
    if (closed) return;
    if (owner != Thread.currentThread() || innermost.get() != this)
      throw new IllegalStateException("a scope is closed by the thread that opened it, the innermost first");
    closed = true;
    if (outer == null) innermost.remove();
    else innermost.set(outer);
    Core.leaveScope();
  }
}
