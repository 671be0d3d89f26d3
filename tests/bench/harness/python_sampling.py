"""Runs the programs in Python: case by case, within a case round by round, within a round one implementation after the other."""
import functools
import urllib.request

from . import io_sampling, sampling, servers

GO = {"yield": ("yield", 2), "spawn_join": ("spawn_task", 1), "parked100k": ("parked", 1)}  # other names; how many of its operations are one
WITHOUT_PROXIES = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    pass


class Server(servers.Server):
    """Gunicorn listens before its workers are there: an HTTP server listens when it answers."""

    def listens(self):
        if self.case.client != "wrk":
            return super().listens()
        try:
            return WITHOUT_PROXIES.open(f"http://127.0.0.1:{self.port}{self.case.argument}", timeout=1).status == 200
        except OSError:
            return False


def alone(name, program, case, procs, amount):
    its_case, times = GO.get(case.name, (case.name, 1)) if name == "go" else (case.name, 1)
    command = [program["core"]] if name == "go" else program
    values, complaint = sampling.sample([*command, its_case, procs, int(amount) * times])
    if complaint:
        raise Failed(complaint)
    return {metric: value * times if metric.endswith("_per_op") else value for metric, value in values.items()}


def server_command(name, case, program, serves, procs, port, folder, _):
    if name == "go":
        return [program["io"], serves, procs, port, folder]
    return [*program, f"{case.name}_protocol" if name.endswith("-protocol") else case.name, procs, port]


def sample(programs, name, case, procs, amount):
    if case.client == "alone":
        return alone(name, programs[name], case, procs, amount)
    with Server(functools.partial(server_command, name, case), programs[name], case, procs, io_sampling.environment()) as server:
        return io_sampling.drive(programs["load"], server, case, amount, False)


def run(programs, cases, all_procs, rounds, quick):
    """Returns {(case, procs, implementation, metric): [a value per round]}. A program that is the reason why it is none is told of."""
    results = {}
    for case in cases:
        if isinstance(programs.get("ecru"), Exception):
            print(f"{case.name}: ecru: not built: {programs['ecru']}", flush=True)
        for procs in all_procs if case.scales else [1]:
            left = [name for name in programs if name in ("ecru", *case.peers) and not isinstance(programs[name], Exception)]
            for turn in range(rounds):
                for name in list(left):
                    sampling.show(f"{case.name}, {procs} processors, round {turn + 1} of {rounds}: {name}")
                    try:
                        values = sample(programs, name, case, procs, case.quick if quick else case.full)
                    except (Failed, io_sampling.Failed, OSError) as error:
                        values = {}
                        left.remove(name)  # no further rounds
                        sampling.show("")
                        print(f"failed: {name}: {case.name} at {procs}: {error}", flush=True)
                    for metric, value in values.items():
                        results.setdefault((case.name, procs, name, metric), []).append(value)
    sampling.show("")
    return results
