"""Select: one goroutine serves two sources, whichever is first, until both have closed; then a deadline."""

import ecru


def count_to(last: int, pause: float, numbers: ecru.Chan[int]) -> None:
    with numbers:
        for number in range(1, last + 1):
            ecru.sleep(pause)
            numbers.send(number)


fast, slow = ecru.Chan[int](), ecru.Chan[int]()
ecru.go(count_to, 50, 0.001, fast)
ecru.go(count_to, 5, 0.01, slow)
sources: list[ecru.Chan[int] | None] = [fast, slow]
received = [0, 0]
while any(sources):
    match ecru.select(*sources):  # parks; of several that are ready it picks any
        case index, _, True:
            received[index] += 1
        case index, _, False:  # closed and empty
            sources[index] = None  # a case that is never ready
print("fast {}, slow {}".format(*received))

silent = ecru.Chan[int]()  # nothing will ever come from it
try:
    ecru.select(silent, timeout=0.01)
except ecru.DeadlineExceeded as error:
    print("with a deadline:", error)
print("without waiting:", ecru.select(silent, default="nothing").value)
