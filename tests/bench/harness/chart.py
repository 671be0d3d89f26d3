"""A bar chart of the medians as SVG, written by hand: one column per number of processors, one group of bars per case,
logarithmic from a power of ten to another, a whisker from the lowest to the highest sample."""
import math
from xml.sax.saxutils import escape

from . import report

COLOURS = {
    "ecru": "#c8502b",
    "go": "#1b6ca8",
    "go_backports": "#5fa3d0",
    "go_debian": "#a9cfe6",
    "boost_fiber": "#4d8b57",
    "tokio": "#8a6bb1",
    "may": "#c9a227",
    "uv": "#3f8f8a",
    "epoll": "#8b949c",
    "threads": "#b56576",
    "nginx": "#4d8b57",
    "redis": "#b3403a",
    "gevent": "#4d8b57",
    "asyncio": "#8a6bb1",
    "asyncio-protocol": "#b7a2d3",
    "uvloop": "#c9a227",
    "uvloop-protocol": "#e2cb7c",
    "trio": "#3f8f8a",
    "greenlet": "#8b949c",
    "runloom": "#5b6470",
}
INK, FAINT, GRID, PAPER = "#22262a", "#6b7278", "#dfe3e6", "#ffffff"
LABELS, COLUMN, GAP = 190, 520, 40  # widths
BAR, GROUP_GAP, TOP = 11, 12, 104  # heights


def groups(suite, rows):
    """The (case, metric) pairs of the chart in order, those with figures only."""
    pairs = [(case.name, metric) for case in suite.CASES for metric in case.shown if metric in suite.DETAILS]
    return [pair for pair in pairs if any((r["case"], r["metric"]) == pair for r in rows)]


def text(x, y, words, size=12, colour=INK, anchor="start", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'


def rectangle(x, y, width, height, colour):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}" fill="{colour}"/>'


def stroke(x1, y1, x2, y2, colour, width=1.0):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


class Scale:
    """From values to horizontal positions within a column."""

    def __init__(self, rows):
        values = [v for r in rows for v in (r["median"], r["low"], r["high"]) if v > 0] or [1, 10]
        self.first = math.floor(math.log10(min(values)))
        self.last = max(math.ceil(math.log10(max(values))), self.first + 1)

    def __call__(self, value):
        share = (math.log10(max(value, 10.0**self.first)) - self.first) / (self.last - self.first)
        return share * (COLUMN - 60)  # room for the figure behind the longest bar

    def powers(self):
        return range(self.first, self.last + 1)


def power_name(power):
    if power >= 6:
        return f"{10 ** (power - 6)} M"
    return f"{10 ** (power - 3)} k" if power >= 3 else f"{10.0 ** power:g}"


def legend(implementations):
    marks, x = [], LABELS
    for impl in implementations:
        marks += [rectangle(x, 66, 14, 12, COLOURS.get(impl, FAINT)), text(x + 19, 76, impl, 13)]
        x += 46 + 7.5 * len(impl)
    return marks


def bars(rows, pair, procs, implementations, left, top, scale):
    marks = []
    for i, impl in enumerate(implementations):
        one = report.find(rows, case=pair[0], metric=pair[1], procs=procs, impl=impl)
        if one is None:
            continue
        y = top + i * BAR
        marks.append(rectangle(left, y, scale(one["median"]), BAR - 1.5, COLOURS.get(impl, FAINT)))
        marks.append(stroke(left + scale(one["low"]), y + BAR / 2 - 0.75, left + scale(one["high"]), y + BAR / 2 - 0.75, INK, 1.2))
        figure = report.number(one["median"])
        marks.append(text(left + scale(max(one["median"], one["high"])) + 4, y + BAR - 2.5, figure, 9.5, INK if impl == "ecru" else FAINT, weight="bold" if impl == "ecru" else "normal"))
    return marks


def svg(suite, rows, implementations, subtitle):
    implementations = [i for i in implementations if any(r["impl"] == i for r in rows)]
    pairs = groups(suite, rows)
    shown = [r for r in rows if (r["case"], r["metric"]) in pairs]
    all_procs, scale = sorted({r["procs"] for r in shown}) or [1], Scale(shown)
    step = BAR * len(implementations) + GROUP_GAP
    bottom = TOP + step * len(pairs)
    width, height = LABELS + (COLUMN + GAP) * len(all_procs), bottom + 40
    marks = [rectangle(0, 0, width, height, PAPER), text(24, 34, f"ecru and its peers, {suite.TITLE}", 20, weight="bold")]
    marks += [text(24, 54, f"logarithmic, shorter is better where it does not say otherwise; {subtitle}", 12, FAINT), *legend(implementations)]
    for column, procs in enumerate(all_procs):
        left = LABELS + column * (COLUMN + GAP)
        marks.append(text(left, TOP - 8, "1 processor" if procs == 1 else f"{procs} processors", 13, weight="bold"))
        for power in scale.powers():
            x = left + scale(10.0**power)
            marks += [stroke(x, TOP, x, bottom, GRID), text(x, bottom + 16, power_name(power), 10, FAINT, "middle")]
        for i, pair in enumerate(pairs):
            marks += bars(rows, pair, procs, implementations, left, TOP + i * step + GROUP_GAP / 2, scale)
    for i, (case, metric) in enumerate(pairs):
        middle = TOP + i * step + step / 2
        marks += [text(LABELS - 12, middle - 1, case, 13, anchor="end", weight="bold"), text(LABELS - 12, middle + 12, suite.DETAILS[metric], 10, FAINT, "end")]
        marks.append(stroke(24, TOP + i * step, width - GAP, TOP + i * step, GRID, 0.6))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif">'
    return "\n".join([head, *marks, "</svg>"]) + "\n"
