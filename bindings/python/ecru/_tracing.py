"""What threading.settrace and threading.setprofile have said, in threads that threading does not start."""

import sys
import threading


def begin() -> None:
    """As a thread of threading's does."""
    if (trace := threading.gettrace()) is not None:
        sys.settrace(trace)
    if (profile := threading.getprofile()) is not None:
        sys.setprofile(profile)


def end() -> None:
    """Also of what the program has begun itself: the thread goes on to other things."""
    if sys.gettrace() is not None:
        sys.settrace(None)
    if sys.getprofile() is not None:
        sys.setprofile(None)
