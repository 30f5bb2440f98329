"""The program behind `make packets`, on a copy of the project."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from packets.decode import read_pcap
from tests.lib.containers import NewPair, Pair
from tests.lib.support import ROOT


def play(pair: Pair, *roots: Path) -> "subprocess.Popen[str]":
    """Start the program in English in a pair's folder; ``roots`` come first on its path."""
    path = ":".join(map(str, (*roots, ROOT)))
    return subprocess.Popen(
        [sys.executable, "-m", "packets.run"],
        cwd=pair.folder,
        env=os.environ | {"PYTHONPATH": path, "LANGUAGE": "en"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_every_packet_is_explained(new_pair: NewPair) -> None:
    """The program explains and saves every packet, and ends with the client's exit code."""
    pair = new_pair({"client": {"environment": {"REPLY": "another"}}}, REPLY="Olá")
    with play(pair) as program:
        shown, _ = program.communicate()

    assert program.returncode == 76, shown
    assert pair.what_is_there() == []
    told = [line for line in shown.splitlines() if line.startswith("packet | ")]
    for text in ("asks again", "  SYN  ", "  SYN ACK  ", "  17 bytes  ", "  4 bytes  "):
        assert any(text in line for line in told), shown
    assert sum("  FIN  " in line for line in told) == 2
    assert "ARP requests without a reply" in shown
    assert len(list(read_pcap(pair.folder / "packets.pcap"))) == len(told)
    html = (pair.folder / "packets.html").read_text()
    assert html.count('class="packet"') == len(told)


def test_pair_runs_without_a_capture(new_pair: NewPair, tmp_path: Path) -> None:
    """The pair runs as usual if packets cannot be captured, and the reason is printed."""
    pair = new_pair(CONNECT_TIMEOUT="0.5", RETRY_DELAY="0.3")
    settings = shutil.copytree(ROOT / "packets", tmp_path / "packets") / "compose.yml"
    settings.write_text(settings.read_text().replace("cap_add: [NET_RAW]", ""))
    with play(pair, tmp_path) as program:
        shown, _ = program.communicate()

    assert program.returncode == 0, shown
    assert "cannot be captured here" in shown
    assert "Operation not permitted" in shown
    assert "client | SERVER OK - STATUS 200" in shown
    assert pair.what_is_there() == []
    assert not (pair.folder / "packets.pcap").exists()


def test_ctrl_c_leaves_nothing_running(new_pair: NewPair) -> None:
    """Ctrl-C while the client waits leaves no container, and keeps the previous run's page."""
    pair = new_pair(CONNECT_TIMEOUT="0.5", DEADLINE="0")
    page = pair.folder / "packets.html"
    page.write_text("whole")
    with play(pair) as program:
        assert program.stdout
        assert any("INFO waiting for" in line for line in program.stdout)
        program.send_signal(signal.SIGINT)
        shown = program.stdout.read()

    assert program.returncode == 130, shown
    assert "asks all hosts" in shown
    assert "interrupted; nothing is left running\n" in shown
    assert shown.endswith(" packets, not saved: the run was interrupted\n")
    assert page.read_text() == "whole"
    assert pair.what_is_there() == []
