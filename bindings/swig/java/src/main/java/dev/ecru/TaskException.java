package dev.ecru;

/**
 * A task, or a goroutine of a group, has failed. The cause is what it threw; the code that of its {@link EcruException}, or {@link Ecru#EPANIC}.
 * The failures of a group's other goroutines are suppressed exceptions.
 */
public final class TaskException extends EcruException {
  private static final long serialVersionUID = 1;

  TaskException(int code, Throwable cause) {
    super(code, cause);
  }
}
