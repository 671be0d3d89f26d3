"""A worker pool: no more than four goroutines work on a hundred items; the first failure stops the others."""

import ecru


def smallest_factor(number: int) -> int:
    if number < 2:
        raise ValueError(f"{number} has no factors")
    for divisor in range(2, int(number**0.5) + 1):
        if number % divisor == 0:
            return divisor
    return number


items = list(range(10**6, 10**6 + 100))
primes = sum(factor == item for item, factor in zip(items, ecru.map(smallest_factor, items, limit=4), strict=True))
print(f"{primes} primes among {len(items)} numbers from 10^6")

items[50] = 1  # no worker can do anything with it
try:
    list(ecru.map(smallest_factor, items, limit=4))
except ValueError as error:
    print(f"{error}: the pool has stopped")
