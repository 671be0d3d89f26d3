package dev.ecru;

/** The caller's current token was cancelled: what it waited for was not done. */
public final class CancelledException extends EcruException {
  private static final long serialVersionUID = 1;

  public CancelledException() {
    super(Ecru.ECANCELED);
  }
}
