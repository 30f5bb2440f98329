"""What was measured, as a table of targets, tables of figures, and a plot."""

import os
import platform
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.median import Median, median

NAMES = {
    "floor": "C, epoll (the floor)",
    "ours": "**this server**, nothing logged",
    "ours, logging": "**this server**, default log",
    "uvloop": "uvloop, Protocol",
    "sketch": "selectors, bare loop",
    "protocol": "asyncio, Protocol",
    "streams": "asyncio, streams",
    "threads": "socketserver, threads",
}
MODES = {"kept": "64 kept connections", "new": "a new connection each"}
# Times the CPU of the floor and of uvloop, and of the floor with the default log.
COST_LIMITS = {"kept": (1.25, 1.05, 1.8), "new": (1.4, 1.15, 2.2)}
START_LIMITS = {"client": 2.0, "healthcheck": 2.3}  # times `import socket`
WAIT_LIMITS = (0.15, 0.3)  # seconds beyond the start of a client: median and maximum
REST_LIMIT = 4.0  # MiB
BUSY = 0.1  # cores that others may use


@dataclass
class Results:
    """Every figure by what it was measured on; costs in µs, memory in KiB, times in seconds."""

    quick: bool
    namespace: bool
    seconds: float = 0.0
    others: float = 0.0  # cores that were used by anything else
    left_out: list[str] = field(default_factory=list)
    costs: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    growth: dict[tuple[str, str, int], list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    idle_kib: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    kernel_kib: list[float] = field(default_factory=list)
    # Seconds that were looked at, wake-ups and CPU seconds in them.
    idle: list[tuple[int, int, float]] = field(default_factory=list)
    rest: dict[str, list[tuple[int, ...]]] = field(default_factory=lambda: defaultdict(list))
    starts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    waits: list[float] = field(default_factory=list)


Row = tuple[str, str, str, str]


def ratios(values: Sequence[float], to: Sequence[float]) -> list[float]:
    """Divide figure by figure: those of one round were measured one after the other."""
    return [value / other for value, other in zip(values, to, strict=True)]


def rows(results: Results) -> list[Row]:
    """Return the targets: figure, target, measured, whether it is met."""
    found: list[Row] = []

    def at_most(figure: str, limit: float, unit: str, values: Sequence[float]) -> None:
        measured = median(values)
        found.append((figure, f"≤ {limit:g} {unit}", measured.text(), measured.verdict(limit)))

    if results.costs:
        for mode, (to_floor, to_uvloop, logging_to_floor) in COST_LIMITS.items():
            figure = f"CPU per exchange, {MODES[mode]}"
            ours, floor = results.costs["ours", mode], results.costs["floor", mode]
            logging, uvloop = results.costs["ours, logging", mode], results.costs["uvloop", mode]
            in_c = "times the C floor"
            at_most(f"{figure}, nothing logged", to_floor, in_c, ratios(ours, floor))
            at_most(f"{figure}, nothing logged", to_uvloop, "times uvloop", ratios(ours, uvloop))
            at_most(f"{figure}, default log", logging_to_floor, in_c, ratios(logging, floor))
    if results.growth:
        for mode in MODES:
            ours, floor = (
                ratios(results.growth[name, mode, 10_000], results.growth[name, mode, 16])
                for name in ("ours", "floor")
            )
            figure = f"growth of CPU per exchange, {mode}, from 16 to 10,000 connections"
            at_most(figure, 1.1, "times that of the C floor", ratios(ours, floor))
    if results.idle:
        figure = "memory per idle connection, 10,000 after one exchange"
        at_most(figure, 1, "KiB", results.idle_kib["ours"])
        seconds, wakeups, cpu = map(sum, zip(*results.idle, strict=True))
        used = f"{wakeups} wake-ups, {cpu * 1e3:.3g} ms of CPU"
        met = "**missed**" if wakeups or cpu else "met"
        found.append((f"{seconds} s with 10,000 idle connections", "no wake-up, no CPU", used, met))
    for where, pairs in results.rest.items():
        over = [(server - bare) / 1024 for bare, server in pairs]
        at_most(f"memory at rest, {where}, over `import socket`", REST_LIMIT, "MiB", over)
    for name, limit in START_LIMITS.items():
        times = ratios(results.starts[name], results.starts["socket"])
        at_most(f"one `{name}` process, wall time", limit, "times `import socket`", times)
    start, waits = median(results.starts["client"]).middle, median(results.waits)
    middle, highest = (limit + start for limit in WAIT_LIMITS)
    longest = max(results.waits)
    figure = "from listening to the end of a waiting client, `RETRY_DELAY=0.25`"
    limits = f"median ≤ {middle:.3f} s, maximum ≤ {highest:.3f} s"
    met = waits.verdict(middle) if longest <= highest else "**missed**"
    found.append((figure, limits, f"{waits.text('.3f')}, maximum {longest:.3f}", met))
    return found


def capacity(results: Results) -> list[tuple[str, str]]:
    """Return what one core could carry, worked out from the costs: nobody has tried."""
    check = median(results.costs["ours, logging", "new"]).middle
    exchange = median(results.costs["ours", "kept"]).middle
    connection = median(results.idle_kib["ours"]).middle + median(results.kernel_kib).middle
    return [
        ("checks per second (a new connection each, default log)", f"{1e6 / check:,.0f}"),
        ("exchanges per second on kept connections, nothing logged", f"{1e6 / exchange:,.0f}"),
        ("CPU for 1,000 checks that come at once", f"{check:.0f} ms"),
        ("wait of the last of 4,096 that come at once", f"{4.096 * check:.0f} ms"),
        ("idle connections in 100 MiB, the kernel's share counted", f"{102_400 / connection:,.0f}"),
    ]


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


def markdown(results: Results, plot: str) -> str:
    """Write everything down."""
    busy = "**The machine was busy: do not compare these figures.** "
    parts = [
        "# Benchmark",
        f"Written by `make bench{' QUICK=1' if results.quick else ''}` in {results.seconds:.0f} s. "
        "Each figure is a median, and in brackets its 95% interval (bootstrap); a target inside "
        "the interval is undecided. Ratios are taken within one round; single rounds are noise, "
        "in which anything may beat anything.",
        (busy if results.others > BUSY else "")
        + f"Other work used {results.others:.2f} cores meanwhile. "
        + machine(results),
        f"![CPU per exchange by server, and by number of connections]({plot})",
        "Kept: a connection sends message after message. New: each message has a connection of "
        "its own; as many are open as are named, at most 1,024 of them between connect and reply.",
        "## Targets",
        table(["figure", "target", "measured", ""], rows(results)),
    ]
    if results.costs:
        lines = []
        for name in [name for name in NAMES if (name, "kept") in results.costs]:
            line = [NAMES[name]]
            for mode in MODES:
                costs, floor = results.costs[name, mode], results.costs["floor", mode]
                line += [median(costs).text(".1f"), median(ratios(costs, floor)).text()]
            kib = results.idle_kib.get(name)
            lines.append([*line, median(kib).text() if kib else ""])
        head = ["server", "kept, µs", "÷ floor", "new, µs", "÷ floor", "KiB per idle connection"]
        parts += [
            "## CPU per exchange at 64 connections, and memory",
            "The kernel's own memory, for one end of a connection, comes on top: "
            f"{median(results.kernel_kib).text('.1f')} KiB.",
            table(head, lines),
        ]
        counts = sorted({count for *_, count in results.growth})
        lines = [
            [
                f"{NAMES[name]}, {mode}",
                *(median(results.growth[name, mode, count]).text(".1f") for count in counts),
            ]
            for mode in MODES
            for name in ("floor", "ours")
        ]
        parts += [
            "## CPU per exchange by number of connections, µs",
            table(["server", *(f"{count:,}" for count in counts)], lines),
            "## What one core could carry, by these figures",
            table(["on paper", ""], capacity(results)),
        ]
    lines = [
        [f"`{name}`", median([value * 1e3 for value in values]).text(".1f")]
        for name, values in results.starts.items()
    ]
    parts += [
        "## Whole processes, wall time in ms",
        "With `python3 -S`: what is installed on this host is not imported.",
        table(["process", "ms"], lines),
        "## Memory at rest, MiB",
        table(
            ["where", "`import socket`", "server"],
            [
                [
                    where,
                    *(
                        median([kib / 1024 for kib in one]).text()
                        for one in zip(*pairs, strict=True)
                    ),
                ]
                for where, pairs in results.rest.items()
            ],
        ),
    ]
    if results.left_out:
        parts += ["## Left out", "\n".join(f"- {reason}" for reason in results.left_out)]
    return "\n\n".join(parts) + "\n"


def first_line(*command: str) -> str:
    """Return the first line that says which version a program is; nothing if it is not there."""
    if not shutil.which(command[0]):
        return ""
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return next((line for line in said.splitlines() if any(map(str.isdigit, line))), "")


def machine(results: Results) -> str:
    """Say what was measured, on what, and with."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = cpuinfo.partition("model name")[2].partition("\n")[0].lstrip("\t: ") or "unknown CPU"
    docker = "Docker CLI {{.Client.Version}}, Engine {{.Server.Version}}"
    tools = [
        f"Commit {first_line('git', 'describe', '--always', '--dirty') or 'unknown'}",
        f"Linux {platform.release()}",
        f"Python {platform.python_version()}",
        f"uvloop {version('uvloop')}",
        first_line("docker", "version", "--format", docker) or "no Docker",
        first_line(os.environ.get("CC", "cc"), "--version"),
    ]
    where = "a network namespace of its own" if results.namespace else "the host's network"
    return f"{os.cpu_count()} cores ({model}), in {where}. {'; '.join(filter(None, tools))}."


def draw(results: Results, path: Path) -> None:
    """Draw the CPU of an exchange by server, and by number of connections."""
    colours = {"kept": "#2a8fbd", "new": "#d9822b"}
    ink = "#57606a"
    mpl.rcParams.update(
        {
            "svg.hashsalt": "bench",
            "svg.fonttype": "none",  # text stays text: it can be found, and read aloud
            "font.size": 10,
            **dict.fromkeys(
                ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"),
                ink,
            ),
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    bars, lines = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_bars(bars, results, colours)
    _draw_lines(lines, results, colours)
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(path, transparent=True, metadata=nothing)
    # The text is dark on a light page, and light on a dark one.
    style = "<style>svg { color: #1f2328 } @media (prefers-color-scheme: dark) { svg { color: "
    style += "#e6edf3 } }</style>\n <defs>"
    picture = path.read_text().replace(ink, "currentColor").replace("<defs>", style, 1)
    path.write_text(picture)


def _errors(medians: Sequence[Median]) -> list[list[float]]:
    low = [one.middle - one.low for one in medians]
    return [low, [one.high - one.middle for one in medians]]


def _draw_bars(axes: Axes, results: Results, colours: dict[str, str]) -> None:
    names = [name for name in reversed(NAMES) if (name, "kept") in results.costs]
    labels = {
        "kept": "kept: message after message on one connection",
        "new": "new: a connection for each message",
    }
    for offset, (mode, colour) in zip((0.2, -0.2), colours.items(), strict=True):
        places = [place + offset for place in range(len(names))]
        medians = [median(results.costs[name, mode]) for name in names]
        axes.barh(
            places,
            [one.middle for one in medians],
            xerr=_errors(medians),
            error_kw={"elinewidth": 1, "ecolor": "#808080"},
            height=0.36,
            color=colour,
            label=labels[mode],
        )
        for place, one in zip(places, medians, strict=True):
            axes.text(one.high + 1, place, f"{one.middle:.3g}", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), [NAMES[name].replace("**", "") for name in names])
    axes.set_xlabel("server CPU per exchange, µs (64 connections)")
    axes.legend(frameon=False, loc="upper right")


def _draw_lines(axes: Axes, results: Results, colours: dict[str, str]) -> None:
    counts = sorted({count for *_, count in results.growth})
    for mode, colour in colours.items():
        for name, style in (("ours", "-"), ("floor", ":")):
            medians = [median(results.growth[name, mode, count]) for count in counts]
            axes.errorbar(
                [f"{count:,}" for count in counts],
                [one.middle for one in medians],
                _errors(medians),
                linestyle=style,
                color=colour,
                marker="o",
                markersize=4,
                label=f"{'this server' if name == 'ours' else 'C floor'}, {mode}",
            )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("connections")
    axes.set_ylabel("µs per exchange")
    axes.legend(frameon=False)


def write(results: Results, stem: Path) -> str:
    """Write the report and its plot beside each other; return the report."""
    stem.parent.mkdir(exist_ok=True)
    plot = stem.with_suffix(".svg")
    text = markdown(results, plot.name)  # first: the plot makes the commit a dirty one
    draw(results, plot)
    stem.with_suffix(".md").write_text(text)
    return text
