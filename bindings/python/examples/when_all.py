"""Waiting for all: five services are asked at once, and all outcomes come back in order, not only the first failure."""

from dataclasses import dataclass

import ecru


@dataclass
class Service:
    name: str
    seconds: float
    answer: str | Exception

    def ask(self) -> str:
        ecru.sleep(self.seconds)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


services = [
    Service("users", 0.03, "17 users"),
    Service("orders", 0.02, OSError("the disk is broken")),
    Service("prices", 0.01, "3 prices"),
    Service("stock", 0.005, LookupError("no such list")),
    Service("mail", 0.001, "no mail"),
]
tasks = [ecru.spawn(service.ask) for service in services]
for service, task in zip(services, tasks, strict=True):
    print(f"{service.name:7} {task.exception() or task.result()}")
