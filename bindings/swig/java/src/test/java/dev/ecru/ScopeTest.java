package dev.ecru;

import static org.junit.jupiter.api.Assertions.*;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class ScopeTest {
  @Test
  void a_timeout_of_any_size() {
    for (Duration duration : new Duration[] {null, Duration.ofSeconds(Long.MAX_VALUE), Duration.ofDays(1)}) {
      try (Scope scope = Scope.timeout(duration)) {
        Ecru.check();
      }
    }
    try (Scope scope = Scope.timeout(Duration.ofSeconds(-1))) {
      assertThrows(DeadlineException.class, Ecru::check);
    }
    Ecru.check();
  }

  @Test
  void tokens_nest() {
    Token outer = new Token(), inner = new Token();
    try (Scope first = Scope.under(outer)) {
      try (Scope second = Scope.under(inner)) {
        assertEquals(inner.id(), Token.current().id());
        inner.cancel();
        assertThrows(CancelledException.class, () -> Ecru.sleep(Duration.ofDays(1)));
        try (Scope shield = Scope.shield(null)) {
          Ecru.sleep(Duration.ofNanos(1));
        }
      }
      assertEquals(outer.id(), Token.current().id());
    }
  }

  @Test
  void a_scope_is_closed_once_by_its_thread_the_innermost_first() {
    Scope outer = Scope.shield(null), inner = Scope.shield(null);
    assertThrows(IllegalStateException.class, outer::close);
    Task<Void> other =
        Ecru.spawn(
            () -> {
              inner.close();
              return null;
            });
    assertInstanceOf(IllegalStateException.class, assertThrows(TaskException.class, other::join).getCause());
    inner.close();
    inner.close();
    outer.close();
  }
}
