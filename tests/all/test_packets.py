"""What `make packets` does once everything is there, on a copy of the project."""

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
    """Start it in English in the folder of a pair; with other roots of the project before ours."""
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


def test_every_packet(new_pair: NewPair) -> None:
    """Silence, handshake, both messages and both ends are told and kept, with the client's code."""
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


def test_without_a_capture(new_pair: NewPair, tmp_path: Path) -> None:
    """If packets cannot be captured, it says so, and the pair runs as ever."""
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


def test_interrupted(new_pair: NewPair) -> None:
    """Ctrl-C while the client waits leaves no container, and the page of the run before."""
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
