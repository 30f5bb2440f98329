"""What `make packets` does once everything is there, on a copy of the project."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from packets.decode import read_pcap
from tests.lib.containers import NewPair, Pair
from tests.lib.support import ROOT


def play(pair: Pair, *roots: Path) -> "subprocess.Popen[str]":
    """Start it in English in the folder of a pair; with other roots of the project before ours."""
    path = ":".join(map(str, (*roots, ROOT)))
    return pair.play("packets.run", PYTHONPATH=path, LANGUAGE="en")


def test_every_packet(new_pair: NewPair) -> None:
    """Silence, handshake, both messages and both ends are told and kept, with the client's code."""
    with new_pair(WRONG_REPLY="fail", REPLY="Olá") as pair:
        pair.override("client", environment={"REPLY": "another"})
        with play(pair) as program:
            shown, _ = program.communicate()

        assert program.returncode == 76, shown
        assert pair.what_is_there() == []
        told = [line for line in shown.splitlines() if line.startswith("packet | ")]
        for text in ("asks again", "  SYN  ", "  SYN ACK  ", "  17 bytes  ", "  4 bytes  "):
            assert any(text in line for line in told), shown
        assert sum("  FIN  " in line for line in told) == 2
        assert "ARP questions without an answer" in shown
        assert len(list(read_pcap(pair.folder / "packets.pcap"))) == len(told)
        assert (pair.folder / "packets.html").read_text().count("<details>") == len(told)


@pytest.mark.parametrize("why", ["Operation not permitted", "No such file or directory"])
def test_without_a_capture(new_pair: NewPair, tmp_path: Path, why: str) -> None:
    """Where packets cannot be captured, or not be kept, it says so, and the pair runs as ever."""
    with new_pair(CONNECT_TIMEOUT="0.5", RETRY_DELAY="0.3") as pair:
        copy = shutil.copytree(ROOT / "packets", tmp_path / "packets")
        kept = pair.folder / "packets.pcap"
        if why == "Operation not permitted":
            settings = (copy / "compose.yml").read_text()
            (copy / "compose.yml").write_text(settings.replace("cap_add: [NET_RAW]", ""))
        else:
            kept.symlink_to("nowhere/packets.pcap")
        with play(pair, tmp_path) as program:
            shown, _ = program.communicate()

        assert program.returncode == 0, shown
        assert "cannot be captured here" in shown
        assert why in shown
        assert "client | SERVER OK - STATUS 200" in shown
        assert pair.what_is_there() == []
        assert not os.path.lexists(kept)


def test_interrupted(new_pair: NewPair) -> None:
    """Ctrl-C while the client waits leaves nothing, and tells what had passed until then."""
    with new_pair(CONNECT_TIMEOUT="0.5", DEADLINE="0") as pair:
        with play(pair) as program:
            assert program.stdout
            while "INFO waiting for" not in program.stdout.readline():
                pass
            program.send_signal(signal.SIGINT)
            shown = program.stdout.read()

        assert program.returncode == 130, shown
        assert "asks everybody" in shown
        assert shown.endswith("interrupted; nothing is left running\n")
        assert pair.what_is_there() == []
