package dev.ecru;

/** What was used is closed; of a channel: and nothing is left in it. */
public final class ClosedException extends EcruException {
  private static final long serialVersionUID = 1;

  public ClosedException() {
    super(Ecru.ECLOSED);
  }
}
