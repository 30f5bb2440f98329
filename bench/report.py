"""What was measured, as a table of targets, tables of figures, and a plot."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.figures import (
    CLIENT,
    CONNECTIONS,
    GROWTH,
    IMPORT_SOCKET,
    MODES,
    PYZ,
    SERVERS,
    Median,
    Results,
    median,
)

BUSY = 0.1  # cores that others may use


def ratios(values: Sequence[float], to: Sequence[float]) -> list[float]:
    """Divide figure by figure: those of one round were measured one after the other."""
    return [value / other for value, other in zip(values, to, strict=True)]


def targets(results: Results) -> list[tuple[str, str, str, str]]:
    """Return the targets: figure, target, measured, whether it is met."""
    found = []

    def at_most(figure: str, limit: float, unit: str, values: Sequence[float]) -> None:
        measured = median(values)
        found.append((figure, f"≤ {limit:g} {unit}", measured.text(), measured.verdict(limit)))

    def cost(server: str, mode: str, to: str) -> list[float]:
        costs = results.costs
        return ratios(costs[server, mode, CONNECTIONS], costs[to, mode, CONNECTIONS])

    def growth(server: str, mode: str) -> list[float]:
        return ratios(results.costs[server, mode, 10_000], results.costs[server, mode, 16])

    for mode, to_floor, to_uvloop in (("kept", 1.27, 1.05), ("new", 1.3, 1.05)):
        figure = f"CPU per exchange, {MODES[mode]}, nothing logged"
        at_most(figure, to_floor, "times the C floor", cost("ours", mode, "floor"))
        at_most(figure, to_uvloop, "times uvloop", cost("ours", mode, "uvloop"))
    figure = f"CPU per exchange, {MODES['new']}, default log"
    at_most(figure, 2.1, "times the C floor", cost("ours, logging", "new", "floor"))
    for mode in MODES:
        figure = f"growth of CPU per exchange, {mode}, from 16 to 10,000 connections"
        both = ratios(growth("ours", mode), growth("floor", mode))
        at_most(figure, 1.1, "times that of the C floor", both)
    figure = "memory per idle connection, 10,000 after one exchange"
    at_most(figure, 0.6, "KiB", results.idle_kib["ours"])
    at_most("wake-ups with 10,000 idle connections", 0, "in a second", results.wakeups)
    rest, starts = results.rest_mib, results.starts_ms
    over = [ours - bare for ours, bare in zip(rest["ours"], rest[IMPORT_SOCKET], strict=True)]
    at_most(f"memory at rest, over `{IMPORT_SOCKET}`", 2.1, "MiB", over)
    client = ratios(starts[CLIENT], starts[IMPORT_SOCKET])
    at_most(f"one `{CLIENT}`, wall time", 2, f"times `{IMPORT_SOCKET}`", client)
    pyz = ratios(starts[PYZ], starts[CLIENT])
    at_most(f"one `{PYZ}`, wall time", 1.6, f"times `{CLIENT}`", pyz)
    return found


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


def markdown(results: Results, plot: str) -> str:
    """Return the report as Markdown."""
    costs = []
    for server, name in SERVERS.items():
        line = [name]
        for mode in MODES:
            own, floor = (results.costs[one, mode, CONNECTIONS] for one in (server, "floor"))
            line += [median(own).text(".1f"), median(ratios(own, floor)).text()]
        kib = results.idle_kib.get(server)
        costs.append([*line, median(kib).text() if kib else ""])
    starts = [[f"`{name}`", median(ms).text(".1f")] for name, ms in results.starts_ms.items()]
    busy = "**The machine was busy: do not compare these figures.** "
    parts = [
        "# Benchmark",
        f"`make bench{' QUICK=1' if results.quick else ''}` wrote this in {results.seconds:.0f} s. "
        "Each figure is a median, with its 95% interval (bootstrap) in brackets. A target inside "
        "the interval is undecided. Ratios are taken within one round.",
        (busy if results.others > BUSY else "")
        + f"Other processes used {results.others:.2f} cores during the run. {machine(results)}",
        f"![CPU per exchange by server, and by number of connections]({plot})",
        "Kept: a connection sends message after message. New: each message has its own connection.",
        "## Targets",
        table(["figure", "target", "measured", ""], targets(results)),
        "## CPU per exchange at 64 connections, and memory",
        f"The kernel adds {median(results.kernel_kib).text('.1f')} KiB for each end of a "
        "connection.",
        table(
            ["server", "kept, µs", "÷ floor", "new, µs", "÷ floor", "KiB per idle connection"],
            costs,
        ),
        "## Whole processes, by `python3 -S`",
        table(["process", "wall time, ms"], starts),
    ]
    return "\n\n".join(parts) + "\n"


def first_line(*command: str) -> str:
    """Return the first line with a version that a program prints; "" if there is none."""
    if not shutil.which(command[0]):
        return ""
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return next((line for line in said.splitlines() if any(map(str.isdigit, line))), "")


def machine(results: Results) -> str:
    """Describe the machine, the commit and the tools."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = cpuinfo.partition("model name")[2].partition("\n")[0].lstrip("\t: ") or "unknown CPU"
    docker = "Docker CLI {{.Client.Version}}, Engine {{.Server.Version}}"
    kernel = re.match(r"[\d.]+", platform.release())  # without a build's name
    tools = [
        f"Commit {first_line('git', 'describe', '--always', '--dirty') or 'unknown'}",
        f"Linux {kernel[0] if kernel else 'unknown'}",
        f"Python {platform.python_version()}",
        f"uvloop {version('uvloop')}",
        first_line("docker", "version", "--format", docker) or "no Docker",
        first_line(os.environ.get("CC", "cc"), "--version"),
    ]
    where = "a network namespace of its own" if results.namespace else "the host's network"
    return f"{os.cpu_count()} cores ({model}), in {where}. {'; '.join(filter(None, tools))}."


def errors(medians: Sequence[Median]) -> tuple[list[float], list[float]]:
    """Return how far the intervals reach below and above their medians."""
    below = [one.middle - one.low for one in medians]
    return below, [one.high - one.middle for one in medians]


def draw(results: Results, path: Path) -> None:
    """Draw the CPU of an exchange by server, and by number of connections."""
    mpl.rcParams.update(
        {
            "svg.hashsalt": "bench",
            "svg.fonttype": "none",  # text stays text: it can be found, and read aloud
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    bars, lines = figure.subplots(1, 2, width_ratios=(3, 2))
    servers = list(reversed(SERVERS))
    counts = [f"{count:,}" for count in GROWTH]
    for mode, colour, offset in (("kept", "#2a8fbd", 0.2), ("new", "#d9822b", -0.2)):
        medians = [median(results.costs[server, mode, CONNECTIONS]) for server in servers]
        drawn = bars.barh(
            [place + offset for place in range(len(servers))],
            [one.middle for one in medians],
            height=0.36,
            xerr=errors(medians),
            ecolor="#808080",
            color=colour,
            label=f"{mode}: {MODES[mode]}",
        )
        bars.bar_label(drawn, fmt="{:.3g}", padding=3, fontsize=8)
        for server, style in (("ours", "-"), ("floor", ":")):
            medians = [median(results.costs[server, mode, count]) for count in GROWTH]
            lines.errorbar(
                counts,
                [one.middle for one in medians],
                errors(medians),
                linestyle=style,
                color=colour,
                marker="o",
                markersize=4,
                label=f"{'this server' if server == 'ours' else 'C floor'}, {mode}",
            )
    bars.set_yticks(range(len(servers)), [SERVERS[one].replace("**", "") for one in servers])
    bars.set_xlabel("server CPU per exchange, µs (64 connections)")
    bars.legend(frameon=False)
    lines.set_ylim(bottom=0)
    lines.set_xlabel("connections")
    lines.set_ylabel("µs per exchange")
    lines.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def write(results: Results, stem: Path) -> str:
    """Write the report and its plot beside each other; return the report."""
    stem.parent.mkdir(exist_ok=True)
    plot = stem.with_suffix(".svg")
    text = markdown(results, plot.name)  # first: the plot makes the commit a dirty one
    draw(results, plot)
    stem.with_suffix(".md").write_text(text)
    return text
