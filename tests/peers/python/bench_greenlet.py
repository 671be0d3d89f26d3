"""Raw greenlets: what a switch costs without a scheduler, queues or I/O. The values go with the switches."""
import measure
from greenlet import getcurrent, greenlet


def nothing() -> None:
    pass


def pingpong(count: int) -> None:
    here = getcurrent()

    def give_back(value: int) -> None:
        while True:
            value = here.switch(value)

    measure.begin()
    there = greenlet(give_back)
    for i in range(count):
        there.switch(i)
    measure.end(count)


def yields(count: int) -> None:
    """Two that hand over to each other; the last to end hands back."""
    def turns(other: list[greenlet]) -> None:
        switch = other[0].switch
        for _ in range(count):
            switch(pair[:1])

    pair = [greenlet(turns), greenlet(turns)]
    measure.begin()
    pair[0].switch(pair[1:])
    measure.end(count)


def spawn_join(count: int) -> None:
    measure.begin()
    for _ in range(count):
        greenlet(nothing).switch()
    measure.end(count)


def spawn1000(count: int) -> None:
    measure.begin()
    for _ in range(count // measure.BATCH):
        for one in [greenlet(nothing) for _ in range(measure.BATCH)]:
            one.switch()
    measure.end(count // measure.BATCH * measure.BATCH)


def parked(count: int) -> None:
    here = getcurrent()

    def park() -> None:
        here.switch()

    before = measure.memory_bytes()
    measure.begin()
    crowd = [greenlet(park) for _ in range(count)]
    for one in crowd:
        one.switch()
    memory = measure.memory_bytes() - before
    for one in crowd:
        one.switch()
    measure.end(count, bytes_per_item=memory / count)


measure.main({
    "pingpong": pingpong, "yield": yields, "spawn_join": spawn_join, "spawn1000": spawn1000, "parked100k": parked,
})
