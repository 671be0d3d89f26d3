"""Locks and their like, for goroutines and OS threads at once; the shapes are those of threading and queue.

Everything here waits on a channel or a native lock, which are first come, first served, and take nothing from whom
they did not serve: so an object's own code has to think of cancellation only where it waits twice (Condition,
Barrier).
"""

from threading import BrokenBarrierError

from ecru._sync._barrier import Barrier
from ecru._sync._event import Event, WaitGroup
from ecru._sync._lock import Condition, RLock
from ecru._sync._once import Once
from ecru._sync._queue import LifoQueue, PriorityQueue, Queue, ShutDown
from ecru._sync._semaphore import BoundedSemaphore, Semaphore

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "Condition",
    "Event",
    "LifoQueue",
    "Once",
    "PriorityQueue",
    "Queue",
    "RLock",
    "Semaphore",
    "ShutDown",
    "WaitGroup",
]
