package dev.ecru;

/** A deadline has passed: what was waited for was not done. */
public final class DeadlineException extends EcruException {
  private static final long serialVersionUID = 1;

  public DeadlineException() {
    super(Ecru.ETIMEDOUT);
  }
}
