"""Runs servers and clients: case by case, within a case round by round, within a round one implementation after the other. System calls
are counted in a short run of its own behind the rounds, because counting costs time."""
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile

from . import sampling, servers

COUNTING_SECONDS, COUNTING_REQUESTS = 0.4, 20_000
THREADS_OF_WRK = 1
SPARE_DESCRIPTORS = 200
TLS_LOAD = pathlib.Path(__file__).resolve().parent.parent / "tls_load.py"


class Failed(Exception):
    pass


def environment():
    return {k: v for k, v in os.environ.items() if k not in ("GOMAXPROCS", "GODEBUG", "GOGC", "GOMEMLIMIT") and not k.startswith("ECRU_")}


def run_quietly(command):
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace", timeout=sampling.SECONDS, env=environment())
    except (subprocess.TimeoutExpired, OSError) as error:
        raise Failed(error) from error
    if done.returncode != 0:
        raise Failed((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return done.stdout


def pairs(text):
    return {name: float(value) for name, value in re.findall(r"(\w+)=(\S+)", text)}


def per_request(use, requests):
    """What the server has used, by request."""
    if "server_calls" in use:
        return {"syscalls_per_request": use["server_calls"] / requests}
    return {"cpu_ns_per_request": use["server_cpu_ns"] / requests}


def echo(load, case, amount):
    return echoed([*load, case.connections, amount])


def tls(load, case, amount):
    return echoed([*load[:-1], sys.executable, "-B", TLS_LOAD, load[-1], case.connections, amount])


def echoed(command):
    found = pairs(run_quietly(command))
    if "requests" not in found:
        raise Failed("no answers")
    if "server_calls" in found:
        return per_request(found, found["requests"])
    latencies = {name: found[name] for name in ("p50_us", "p99_us")}
    return {**per_request(found, found["requests"]), "requests_per_second": found["requests"] / found["wall_ns"] * 1e9, **latencies}


def storm(load, case, amount):
    values = echo(load, case, int(amount))
    if "requests_per_second" in values:
        values["wall_ns_per_op"] = 1e9 / values.pop("requests_per_second")
    return values


def idle(load, case, amount):
    fit = allow_descriptors(int(amount))
    if fit < amount:
        print(f"{case.name}: {fit} connections, because of the limit of open files", flush=True)
    found = pairs(run_quietly([*load, fit]))
    return {**per_request(found, found["requests"]), "bytes_per_item": found["bytes_per_item"]}


def microseconds(text):
    value, unit = re.match(r"([\d.]+)(us|ms|s)", text).groups()
    return float(value) * {"us": 1, "ms": 1000, "s": 1_000_000}[unit]


def wrk(load, case, amount):
    """A short run first, so that the server is warm."""
    words = ["-t", THREADS_OF_WRK, "-c", case.connections, f"http://127.0.0.1:{load[-1]}{case.argument}"]
    run_quietly(["wrk", "-d", "1s", *words])
    text = run_quietly([*load[:-1], "wrk", "--latency", "-d", f"{max(amount, 1):g}s", *words])
    if "Non-2xx" in text or re.search(r"Socket errors: .*[1-9]", text):
        raise Failed("wrk: " + next(line.strip() for line in text.splitlines() if "Non-2xx" in line or "Socket errors" in line))
    requests = float(re.search(r"(\d+) requests in", text).group(1))
    values = per_request(pairs(text[text.rindex("Transfer/sec") :]), requests)
    if "cpu_ns_per_request" in values:
        values["requests_per_second"] = float(re.search(r"Requests/sec:\s*([\d.]+)", text).group(1))
        values["p50_us"], values["p99_us"] = (microseconds(re.search(rf"{percent}%\s+(\S+)", text).group(1)) for percent in (50, 99))
    return values


def redis(load, case, amount):
    """SET and GET one after the other: half of the requests each."""
    words = ["redis-benchmark", "-h", "127.0.0.1", "-p", load[-1], "-c", case.connections, "-P", case.argument, "-t", "set,get", "--csv"]
    run_quietly([*words, "-n", 20_000])
    text = run_quietly([*load[:-1], *words, "-n", int(amount)])
    tests = [dict(zip(("rps", "p50", "p99"), (float(row[1]), float(row[4]), float(row[6])))) for row in re.findall('"([^"]*)","([^"]*)","([^"]*)","([^"]*)","([^"]*)","([^"]*)","([^"]*)","([^"]*)"', text) if row[0] in ("SET", "GET")]
    if len(tests) != 2:
        raise Failed("redis-benchmark: no figures of SET and GET")
    values = per_request(pairs(text), 2 * int(amount))
    if "cpu_ns_per_request" in values:
        values["requests_per_second"] = 2 / sum(1 / test["rps"] for test in tests)
        values["p50_us"] = max(test["p50"] for test in tests) * 1000
        values["p99_us"] = max(test["p99"] for test in tests) * 1000
    return values


CLIENTS = {"echo": echo, "tls": tls, "storm": storm, "idle": idle, "wrk": wrk, "redis": redis}


def allow_descriptors(wanted):
    """Raises the limit for the servers and the client. returns: how many connections fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(hard, wanted + SPARE_DESCRIPTORS), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), limit))
            break
        except (ValueError, OSError):  # only root may raise the hard limit
            continue
    return min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_DESCRIPTORS)


def with_server(programs, name, case, procs, amount, count_calls):
    if case.client == "idle":
        allow_descriptors(case.connections)
    with servers.Server(servers.COMMANDS.get(name), programs[name], case, procs, environment()) as server:
        return drive(programs["load"], server, case, amount, count_calls)


def drive(client, server, case, amount, count_calls):
    """Runs the client of a case against its server. returns: {metric: value}."""
    mode = case.client if case.client in ("echo", "storm", "idle") else "around"
    load = [client, mode, ",".join(map(str, server.pids)), int(count_calls), server.port]
    try:
        return CLIENTS[case.client](load, case, amount)
    except Failed as error:
        raise Failed(f"{error}; the server: {server.complaint()}") from error


def alone(programs, name, case, procs, amount):
    """A program that is its own client, and reads a file that has just been written."""
    if name not in ("ecru", "go", "go_debian", "go_backports", "threads"):
        raise servers.NotThere("")
    with tempfile.NamedTemporaryFile() as file:
        file.write(os.urandom(1 << 20) * 16)
        file.flush()
        return pairs(run_quietly([programs[name], case.serves, procs, int(amount), file.name]))


def sample(programs, name, case, procs, amount, count_calls):
    if case.client == "alone":
        return {} if count_calls else alone(programs, name, case, procs, amount)
    return with_server(programs, name, case, procs, amount, count_calls)


def amounts(case, quick):
    """How much is measured, and how much where calls are counted (0: not at all)."""
    amount = case.quick if quick else case.full
    if case.client in ("alone", "idle"):
        return amount, 0
    return amount, min(amount, COUNTING_SECONDS if case.client in ("echo", "wrk") else COUNTING_REQUESTS)


def run(programs, cases, all_procs, rounds, quick):
    """Returns {(case, procs, implementation, metric): [a value per round]}."""
    results = {}
    for case in cases:
        amount, counting = amounts(case, quick)
        turns = [(amount, False)] * rounds + ([(counting, True)] if counting else [])
        for procs in all_procs:
            left = [name for name in programs if name != "load"]
            for i, (how_much, count_calls) in enumerate(turns):
                for name in list(left):
                    sampling.show(f"{case.name}, {procs} processors, round {i + 1} of {len(turns)}: {name}")
                    try:
                        values = sample(programs, name, case, procs, how_much, count_calls)
                    except (Failed, OSError, servers.NotThere) as error:
                        values = {}
                        left.remove(name)
                        tell(name, case, procs, error)
                    for metric, value in values.items():
                        results.setdefault((case.name, procs, name, metric), []).append(value)
    sampling.show("")
    return results


def tell(name, case, procs, error):
    """That a peer is no server of this kind goes without saying; what ecru lacks is told."""
    missing = isinstance(error, servers.NotThere)
    if missing and name != "ecru":
        return
    sampling.show("")
    print(f"{'not built' if missing else 'failed'}: {name}: {case.name} at {procs}" + (f": {error}" if str(error) else ""), flush=True)
