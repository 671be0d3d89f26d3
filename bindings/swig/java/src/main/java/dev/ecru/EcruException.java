package dev.ecru;

/** Something failed, and this is why: with the code and the name that it has in every language. */
public class EcruException extends RuntimeException {
  private static final long serialVersionUID = 1;
  private final int code;

  /** @param code a negative status, such as {@link Ecru#EAGAIN} */
  public EcruException(int code) {
    this(code, null);
  }

  /** @param code a negative status, such as {@link Ecru#EAGAIN} */
  public EcruException(int code, Throwable cause) {
    super(Core.status_text(code) + " (" + Core.status_name(code) + ")", cause);
    this.code = code;
  }

  /** The status, one of the constants of {@link Ecru}. */
  public final int code() {
    return code;
  }

  /** Its name, such as "ECRU_ECLOSED". */
  public final String name() {
    return Core.status_name(code);
  }

  /** The exception that Java users expect for a status. */
  static EcruException of(int code) {
    switch (code) {
      case Ecru.ECANCELED: return new CancelledException();
      case Ecru.ETIMEDOUT: return new DeadlineException();
      case Ecru.ECLOSED: return new ClosedException();
      default: return new EcruException(code);
    }
  }
}
