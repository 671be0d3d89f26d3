"""Locks and their like, for goroutines and OS threads at once; the shapes are those of threading and queue.

Everything here waits on a channel, a native lock or a semaphore, which are first come, first served, and take nothing
from whom they did not serve: so an object's own code has to think of cancellation only where it waits twice
(Condition, Barrier).
"""

from threading import BrokenBarrierError

from ecru._native import BoundedSemaphore, RLock, Semaphore
from ecru._own_methods import own_methods
from ecru._sync._barrier import Barrier
from ecru._sync._condition import Condition
from ecru._sync._event import Event, WaitGroup
from ecru._sync._once import Once
from ecru._sync._queue import LifoQueue, PriorityQueue, Queue, ShutDown

own_methods(BoundedSemaphore)

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
