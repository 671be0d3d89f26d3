"""Goroutines that fail."""

import ecru

LONG = 30.0  # never reached


def fail(error: BaseException) -> None:
    """Raises it."""
    raise error


def fail_with_cancelled_others(error: Exception) -> None:
    """Fails where it is cancelled."""
    try:
        ecru.sleep(LONG)
    except ecru.Cancelled:
        raise error from None
