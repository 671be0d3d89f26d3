"""How many run at once."""

import ecru


class Running:
    """Called by several at once: each waits until `expected` are inside (fewer hang); most: how many ever were."""

    def __init__(self, expected: int) -> None:
        """expected: what the number of calls is a multiple of."""
        self._together = ecru.Barrier(expected, timeout=30)
        self._inside = 0
        self.most = 0

    def __call__(self) -> None:
        """One run."""
        self._inside += 1
        self.most = max(self.most, self._inside)
        self._together.wait()
        ecru.yield_()
        self._inside -= 1
