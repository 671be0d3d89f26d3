"""Turns samples into rows (one per case, procs, implementation and metric), and rows into table, verdict and JSON.
`suite` is the module with the cases and targets: cases.py, io_cases.py or python_cases.py."""
import json
import statistics

from . import targets


def rows(suite, results):
    """A row has the keys of the JSON line but the suite."""
    made = []
    for (case, procs, impl, metric), values in results.items():
        made.append(row(suite, case, procs, impl, metric, statistics.median(values), min(values), max(values)))
    return made + scaling(suite, made)


def row(suite, case, procs, impl, metric, median, low, high):
    unit = suite.UNITS.get(metric, "")
    return {"case": case, "procs": procs, "impl": impl, "metric": metric, "median": median, "low": low, "high": high, "unit": unit}


def scaling(suite, made):
    """How many times faster a case that shows its scaling ends by the clock with more processors than with one."""
    cases = {case.name for case in suite.CASES if "scaling" in case.shown}
    walls = [r for r in made if r["case"] in cases and r["metric"] == "wall_ns_per_op"]
    one = {(r["case"], r["impl"]): r for r in walls if r["procs"] == 1}
    return [
        row(suite, r["case"], r["procs"], r["impl"], "scaling", *(base[a] / r[b] for a, b in (("median", "median"), ("low", "high"), ("high", "low"))))
        for r in walls
        if r["procs"] > 1 and (base := one.get((r["case"], r["impl"])))
    ]


def find(made, **wanted):
    return next((r for r in made if all(r[k] == v for k, v in wanted.items())), None)


def ratio(suite, ecru, peer):
    """How many times better ecru is than the peer; more than 1 is better. None: the metric has no better and worse."""
    if not ecru["median"] or not peer["median"] or ecru["metric"] in suite.NOT_COMPARED:
        return None
    better = peer["median"] / ecru["median"]
    return 1 / better if ecru["metric"] in suite.MORE_IS_BETTER else better


def number(value):
    """Three digits that matter, without an exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(suite, one, ecru):
    if one is None:
        return "-"
    text = f"{number(one['median'])} ({number(one['low'])}-{number(one['high'])})"
    times = ratio(suite, ecru, one) if ecru and ecru is not one else None
    return f"{text} {times:.2f}x" if times else text


def table(suite, made, implementations):
    """Medians (lowest-highest), and behind a peer's how many times better ecru is."""
    lines = [["case", "procs", "metric", *implementations]]
    for case in suite.CASES:
        for metric in case.shown:
            for procs in sorted({r["procs"] for r in made if r["case"] == case.name and r["metric"] == metric}):
                found = [find(made, case=case.name, procs=procs, metric=metric, impl=impl) for impl in implementations]
                ecru = find(made, case=case.name, procs=procs, metric=metric, impl="ecru")
                unit = metric.replace("_per_op", "").replace("_", " ").replace("bytes per item", "bytes")
                lines.append([case.name, str(procs), unit, *(cell(suite, one, ecru) for one in found)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = ["  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in lines]
    text.insert(1, "-" * max(map(len, text)))
    return "\n" + "\n".join(text) + "\n\nmedian (lowest-highest); 2.00x behind a peer: ecru is twice as good\n"


def verdict(suite, made):
    """One line per target and number of processors."""
    text = ["targets:"]
    for target in suite.TARGETS:
        for ecru in [r for r in made if r["impl"] == "ecru" and r["case"] == target.case and r["metric"] == target.metric]:
            if target.procs in (None, ecru["procs"]):
                text += judge_limit(suite, target, ecru) if isinstance(target, targets.Limit) else judge_better(suite, target, ecru, made)
    return "\n".join(text) if len(text) > 1 else "targets: nothing to judge (they need ecru, most also a peer)"


def line(name, procs, wanted, got, outcome):
    return f"  {name:<12} at {procs}  {wanted:<40} {got:<22} {outcome}"


def judge_limit(suite, target, ecru):
    got, more = ecru["median"], target.metric in suite.MORE_IS_BETTER
    enough = got >= target.value if more else got <= target.value
    short = abs(got - target.value) / target.value * 100
    wanted = f"{target.metric} {'>=' if more else '<='} {number(target.value)}"
    return [line(target.case, ecru["procs"], wanted, f"{number(got)} {ecru['unit']}", "met" if enough else f"SHORT by {short:.1f} %")]


def judge_better(suite, target, ecru, made):
    """Go counts in every version that was measured."""
    peers = [r for r in made if r["impl"].split("_")[0] == target.peer and r["impl"] != "ecru"]
    found = [r for r in peers if all(r[key] == ecru[key] for key in ("case", "procs", "metric"))]
    return [line_better(target, ecru, peer["impl"], times) for peer in found if (times := ratio(suite, ecru, peer)) is not None]


def line_better(target, ecru, peer, times):
    wanted = f"{target.metric.replace('_ns_per_op', '')} >= {target.times:g}x {peer}"
    outcome = "met" if times >= target.times else f"SHORT by {(1 - times / target.times) * 100:.1f} %"
    return line(target.case, ecru["procs"], wanted, f"{times:.2f}x", f"not judged: {target.not_judged}" if target.not_judged else outcome)


def json_lines(suite, made, versions):
    return "".join(json.dumps({"suite": suite, **r, "version": versions.get(r["impl"], "")}) + "\n" for r in made)
