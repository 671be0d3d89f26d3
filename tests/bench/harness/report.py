"""Turns samples into rows (one per case, procs, implementation and metric), and rows into table, verdict and JSON."""
import json
import statistics

from . import cases


def rows(results):
    """A row has the keys of the JSON line but the suite."""
    made = []
    for (case, procs, impl, metric), values in results.items():
        made.append(row(case, procs, impl, metric, statistics.median(values), min(values), max(values)))
    return made + scaling(made)


def row(case, procs, impl, metric, median, low, high):
    unit = cases.UNITS.get(metric, "")
    return {"case": case, "procs": procs, "impl": impl, "metric": metric, "median": median, "low": low, "high": high, "unit": unit}


def scaling(made):
    """How many times faster `compute` ends by the clock with more processors than with one."""
    walls = [r for r in made if r["case"] == "compute" and r["metric"] == "wall_ns_per_op"]
    one = {r["impl"]: r for r in walls if r["procs"] == 1}
    return [
        row("compute", r["procs"], r["impl"], "scaling", *(one[r["impl"]][a] / r[b] for a, b in (("median", "median"), ("low", "high"), ("high", "low"))))
        for r in walls
        if r["procs"] > 1 and r["impl"] in one
    ]


def find(made, **wanted):
    return next((r for r in made if all(r[k] == v for k, v in wanted.items())), None)


def ratio(ecru, peer):
    """How many times better ecru is than the peer; more than 1 is better. None: the metric has no better and worse."""
    if not ecru["median"] or not peer["median"] or ecru["metric"] in cases.NOT_COMPARED:
        return None
    better = peer["median"] / ecru["median"]
    return 1 / better if ecru["metric"] in cases.MORE_IS_BETTER else better


def number(value):
    """Three digits that matter, without an exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(one, ecru):
    if one is None:
        return "-"
    text = f"{number(one['median'])} ({number(one['low'])}-{number(one['high'])})"
    times = ratio(ecru, one) if ecru and ecru is not one else None
    return f"{text} {times:.2f}x" if times else text


def table(made, implementations):
    """Medians (lowest-highest), and behind a peer's how many times better ecru is."""
    lines = [["case", "procs", "metric", *implementations]]
    for case in cases.CASES:
        for metric in case.shown:
            for procs in sorted({r["procs"] for r in made if r["case"] == case.name and r["metric"] == metric}):
                found = [find(made, case=case.name, procs=procs, metric=metric, impl=impl) for impl in implementations]
                ecru = find(made, case=case.name, procs=procs, metric=metric, impl="ecru")
                unit = metric.replace("_per_op", "").replace("_", " ").replace("bytes per item", "bytes")
                lines.append([case.name, str(procs), unit, *(cell(one, ecru) for one in found)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = ["  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in lines]
    text.insert(1, "-" * max(map(len, text)))
    return "\n" + "\n".join(text) + "\n\nmedian (lowest-highest); 2.00x behind a peer: ecru is twice as good\n"


def verdict(made, implementations):
    """One line per target and number of processors."""
    text = ["targets:"]
    for target in cases.TARGETS:
        for ecru in [r for r in made if r["impl"] == "ecru" and r["case"] == target.case]:
            if isinstance(target, cases.Limit):
                text += [judge_limit(target, ecru)] if ecru["metric"] == target.metric else []
            elif ecru["metric"] == "cpu_ns_per_op" and target.procs in (None, ecru["procs"]):
                text += [judge_faster(target, ecru, made, impl) for impl in implementations if impl.startswith("go")]
    text = [line for line in text if line]
    return "\n".join(text) if len(text) > 1 else "targets: nothing to judge (they need ecru, most also go)"


def line(name, procs, wanted, got, enough, short_percent):
    outcome = "met" if enough else f"SHORT by {short_percent:.1f} %"
    return f"  {name:<12} at {procs}  {wanted:<34} {got:<22} {outcome}"


def judge_limit(target, ecru):
    got, more = ecru["median"], target.metric in cases.MORE_IS_BETTER
    enough = got >= target.value if more else got <= target.value
    short = abs(got - target.value) / target.value * 100
    wanted = f"{target.metric} {'>=' if more else '<='} {number(target.value)}"
    return line(target.case, ecru["procs"], wanted, f"{number(got)} {ecru['unit']}", enough, short)


def judge_faster(target, ecru, made, impl):
    peer = find(made, case=target.case, procs=ecru["procs"], metric="cpu_ns_per_op", impl=impl)
    times = ratio(ecru, peer) if peer else None
    if times is None:
        return None
    wanted = f"cpu >= {target.times:g}x {impl}"
    if target.not_judged:
        return f"  {target.case:<12} at {ecru['procs']}  {wanted:<34} {times:<22.2f} not judged: {target.not_judged}"
    return line(target.case, ecru["procs"], wanted, f"{times:.2f}x", times >= target.times, (1 - times / target.times) * 100)


def json_lines(suite, made):
    return "".join(json.dumps({"suite": suite, **r}) + "\n" for r in made)
