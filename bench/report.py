"""What was measured, as a table of targets, tables of figures, and a plot."""

import os
import platform
import shutil
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

NAMES = {
    "floor": "C, epoll (the floor)",
    "ours": "**this server**, nothing logged",
    "ours, logging": "**this server**, default log",
    "uvloop": "uvloop, Protocol",
    "sketch": "selectors, bare loop",
    "protocol": "asyncio, Protocol",
    "streams": "asyncio, streams",
    "threads": "socketserver, threads",
    "socat": "socat, fork (echo)",
}
START_LIMIT, WAIT_LIMITS = 1.6, (0.15, 0.3)


@dataclass
class Results:
    """Every figure by what it was measured on; costs in µs, memory in KiB, times in seconds."""

    quick: bool
    namespace: bool
    seconds: float = 0.0
    load_average: float = field(default_factory=lambda: os.getloadavg()[0])
    left_out: list[str] = field(default_factory=list)
    costs: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    growth: dict[tuple[str, str, int], list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    idle_kib: dict[str, float] = field(default_factory=dict)
    idle_cpu: float = 0.0
    idle_wakeups: int = 0
    idle_seconds: float = 0.0
    rest: dict[str, list[tuple[int, ...]]] = field(default_factory=lambda: defaultdict(list))
    starts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    waits: list[float] = field(default_factory=list)


Row = tuple[str, str, str, bool]


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """Write a median with its minimum and maximum."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def ratios(values: Sequence[float], to: Sequence[float]) -> list[float]:
    """Divide figure by figure: those of one round were measured one after the other."""
    return [value / other for value, other in zip(values, to, strict=True)]


def rows(results: Results) -> list[Row]:
    """Return the targets: figure, target, measured, whether it is met."""
    found: list[Row] = []

    def at_most(figure: str, limit: float, unit: str, values: Sequence[float]) -> None:
        met = statistics.median(values) <= limit
        found.append((figure, f"≤ {limit:g} {unit}", spread(values), met))

    costs = results.costs
    if costs:
        limits = {"kept": (1.25, 1.05), "new": (1.4, 1.15)}
        for mode, (to_floor, to_uvloop) in limits.items():
            what = {"kept": "64 kept connections", "new": "a new connection each"}[mode]
            figure = f"CPU per exchange, {what}, nothing logged"
            ours = costs["ours", mode]
            at_most(figure, to_floor, "times the C floor", ratios(ours, costs["floor", mode]))
            at_most(figure, to_uvloop, "times uvloop", ratios(ours, costs["uvloop", mode]))
        for mode in limits:
            what = {"kept": "64 kept connections", "new": "a new connection each"}[mode]
            values = ratios(costs["ours, logging", mode], costs["floor", mode])
            at_most(f"CPU per exchange, {what}, default log", 1.8, "times the C floor", values)
    if results.growth:
        for mode in ("kept", "new"):
            grown = {
                name: [
                    many / few
                    for many, few in zip(
                        results.growth[name, mode, 10_000],
                        results.growth[name, mode, 16],
                        strict=True,
                    )
                ]
                for name in ("ours", "floor")
            }
            limit = round(statistics.median(grown["floor"]) * 1.1, 2)
            figure = f"CPU per exchange, {mode}, at 10,000 connections against 16"
            at_most(figure, limit, "times (the floor, and a tenth)", grown["ours"])
    if results.idle_kib:
        kib = results.idle_kib["ours"]
        figure = "memory per idle connection, 10,000 after one exchange"
        found.append((figure, "≤ 1 KiB", f"{kib:.2f}", kib <= 1))
        figure = f"{results.idle_seconds:g} s with 10,000 idle connections"
        used = f"{results.idle_wakeups} wake-ups, {results.idle_cpu * 1e3:g} ms of CPU"
        found.append((figure, "no wake-up, no CPU", used, not results.idle_wakeups))
    for where, pairs in results.rest.items():
        over = [(server - bare) / 1024 for bare, server in pairs]
        at_most(f"memory at rest, {where}, over `import socket`", 4, "MiB", over)
    for name, what in (("client", "one client process"), ("healthcheck", "one health check")):
        times = ratios(results.starts[name], results.starts["socket"])
        at_most(f"{what}, wall time", START_LIMIT, "times `import socket`", times)
    start = statistics.median(results.starts["client"])
    middle, highest = (limit + start for limit in WAIT_LIMITS)
    waits = results.waits
    met = statistics.median(waits) < middle and max(waits) < highest
    limits_text = f"median < {middle:.3f} s, maximum < {highest:.3f} s"
    figure = "from listening to the end of a waiting client, `RETRY_DELAY=0.25`"
    found.append((figure, limits_text, spread(waits, ".3f"), met))
    return found


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


def markdown(results: Results, plot: str) -> str:
    """Write everything down."""
    parts = [
        "# Benchmark",
        f"Written by `make bench{' QUICK=1' if results.quick else ''}` in {results.seconds:.0f} s. "
        "Median (minimum to maximum); ratios are taken within one round.",
        machine(results),
        *(
            ["**Other work had the machine: times are noise, and costs are too high.**"]
            if results.load_average > 1
            else []
        ),
        f"![CPU per exchange by server, and by number of connections]({plot})",
        "## Targets",
        table(
            ["figure", "target", "measured", ""],
            [[*row, "met" if met else "**missed**"] for *row, met in rows(results)],
        ),
    ]
    if results.costs:
        floor = results.costs
        lines = [
            [
                NAMES[name],
                *(
                    text
                    for mode in ("kept", "new")
                    for text in (
                        spread(floor[name, mode], ".1f"),
                        f"{statistics.median(ratios(floor[name, mode], floor['floor', mode])):.2f}",
                    )
                ),
                f"{results.idle_kib[name]:.2f}" if name in results.idle_kib else "",
            ]
            for name in NAMES
            if (name, "kept") in results.costs
        ]
        head = ["server", "kept, µs", "÷ floor", "new, µs", "÷ floor", "KiB per idle connection"]
        parts += ["## CPU per exchange at 64 connections, and memory", table(head, lines)]
    if results.growth:
        counts = sorted({count for *_, count in results.growth})
        lines = [
            [
                f"{NAMES[name]}, {mode}",
                *(spread(results.growth[name, mode, count], ".1f") for count in counts),
            ]
            for mode in ("kept", "new")
            for name in ("floor", "ours")
        ]
        parts += [
            "## CPU per exchange by number of connections, µs",
            "Kept: all of them exchange. New: so many are open, and at most 1,024 of them are "
            "between connect and reply.",
            table(["server", *(f"{count:,}" for count in counts)], lines),
        ]
    lines = [
        [f"`{name}`", spread([value * 1e3 for value in values], ".1f")]
        for name, values in results.starts.items()
    ]
    parts += [
        "## Whole processes, wall time in ms",
        "With `python3 -S`: what is installed on this host is not imported.",
        table(["process", "ms"], lines),
    ]
    if results.left_out:
        parts += ["## Left out", "\n".join(f"- {reason}" for reason in results.left_out)]
    return "\n\n".join(parts) + "\n"


def machine(results: Results) -> str:
    """Say what it was measured on, and with."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = cpuinfo.partition("model name")[2].partition("\n")[0].lstrip("\t: ") or "unknown CPU"
    compiler = os.environ.get("CC", "cc")
    tools = [
        f"Python {platform.python_version()}",
        f"uvloop {version('uvloop')}",
        f"Linux {platform.release()}",
    ]
    for command in ([compiler, "--version"], ["socat", "-V"]):
        if shutil.which(command[0]):
            said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            tools.append(
                next((line for line in said.splitlines() if "ersion" in line or "(" in line), "")
            )
    where = "a network namespace of its own" if results.namespace else "the host's network"
    return (
        f"{os.cpu_count()} cores ({model}), load average {results.load_average:.1f} at the start, "
        f"in {where}. {'; '.join(filter(None, tools))}."
    )


def draw(results: Results, path: Path) -> None:
    """Draw the CPU of an exchange by server, and by number of connections."""
    # No background, and a grey that is as far from white as from a dark page.
    grey, colours = "#7a7a7a", {"kept": "#2a8fbd", "new": "#d9822b"}
    mpl.rcParams.update(
        {
            "svg.hashsalt": "bench",
            "font.size": 10,
            "text.color": grey,
            "axes.labelcolor": grey,
            "axes.edgecolor": grey,
            "xtick.color": grey,
            "ytick.color": grey,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    bars, lines = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_bars(bars, results, colours)
    _draw_lines(lines, results, colours)
    figure.savefig(path, transparent=True, metadata={"Date": None})


def _draw_bars(axes: Axes, results: Results, colours: dict[str, str]) -> None:
    names = [name for name in reversed(NAMES) if (name, "kept") in results.costs]
    for offset, (mode, colour) in zip((0.2, -0.2), colours.items(), strict=True):
        places = [place + offset for place in range(len(names))]
        middles = [statistics.median(results.costs[name, mode]) for name in names]
        axes.barh(places, middles, height=0.36, color=colour, label=f"{mode} connection")
        for place, middle in zip(places, middles, strict=True):
            axes.text(middle * 1.06, place, f"{middle:.3g}", va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(1, axes.get_xlim()[1] * 1.5)
    axes.set_yticks(range(len(names)), [NAMES[name].replace("**", "") for name in names])
    axes.set_xlabel("server CPU per exchange, µs (64 connections, log scale)")
    axes.legend(frameon=False, loc="upper right")


def _draw_lines(axes: Axes, results: Results, colours: dict[str, str]) -> None:
    counts = sorted({count for *_, count in results.growth})
    for mode, colour in colours.items():
        for name, style in (("ours", "-"), ("floor", ":")):
            middles = [statistics.median(results.growth[name, mode, count]) for count in counts]
            label = f"{'this server' if name == 'ours' else 'C floor'}, {mode}"
            axes.plot(counts, middles, style, color=colour, marker="o", markersize=4, label=label)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("connections")
    axes.set_ylabel("µs per exchange")
    axes.legend(frameon=False)


def write(results: Results, stem: Path) -> str:
    """Write the report and its plot beside each other; return the report."""
    stem.parent.mkdir(exist_ok=True)
    plot = stem.with_suffix(".svg")
    draw(results, plot)
    text = markdown(results, plot.name)
    stem.with_suffix(".md").write_text(text)
    return text
