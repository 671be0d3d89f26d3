"""Runs the programs: case by case, within a case round by round, within a round one implementation after the other."""
import json
import os
import subprocess
import sys

SECONDS = 180  # a sample that takes longer has failed


def sample(command):
    """Runs one sample. Returns ({metric: value}, None) or ({}, why there is none)."""
    environment = {k: v for k, v in os.environ.items() if k not in ("GOMAXPROCS", "GODEBUG", "GOGC", "GOMEMLIMIT") and not k.startswith("ECRU_")}
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace", timeout=SECONDS, env=environment)
    except subprocess.TimeoutExpired:
        return {}, f"no end after {SECONDS} s"
    except OSError as error:
        return {}, str(error)
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip() and not line.startswith("thread '")]
        complaint = lines[-1 if lines[0].startswith("Traceback") else 0] if lines else "no message"
        return {}, f"exit code {done.returncode}: {complaint}"
    if done.stdout.startswith("{"):  # bench_ctx_switch repeats by itself
        found = json.loads(done.stdout)
        return {found["metric"]: found["median"]}, None
    words = dict(word.split("=", 1) for word in done.stdout.split() if "=" in word)
    if "skip" in words:
        return {}, None
    return {name: float(value) for name, value in words.items() if name not in ("case", "procs", "n")}, None


def commands(programs, case, procs, quick):
    """{implementation: command line} of one case; the raw switch is ecru's alone and knows no processors."""
    if case.name == "ctx_switch":
        return {"ecru": [programs["ecru switch"]]} if "ecru switch" in programs and procs == 1 else {}
    count = case.quick if quick else case.full
    return {name: [program, case.name, procs, count] for name, program in programs.items() if name != "ecru switch"}


def run(programs, cases, all_procs, rounds, quick):
    """Returns {(case, procs, implementation, metric): [a value per round]}."""
    results = {}
    for case in cases:
        for procs in all_procs:
            left = commands(programs, case, procs, quick)
            for turn in range(rounds):
                for name in list(left):
                    show(f"{case.name}, {procs} processors, round {turn + 1} of {rounds}: {name}")
                    values, complaint = sample(left[name])
                    if not values:
                        del left[name]  # not there, or failed: no further rounds
                    if complaint:
                        show("")
                        print(f"failed: {name}: {case.name} at {procs}: {complaint}", flush=True)
                    for metric, value in values.items():
                        results.setdefault((case.name, procs, name, metric), []).append(value)
    show("")
    return results


def show(text):
    """A line of progress on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + text)
        sys.stderr.flush()
