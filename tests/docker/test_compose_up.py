"""The pair as README starts and ends it: docker compose up, Ctrl-C, make up, logs and down."""

import os
import signal
import subprocess

from tests.lib.containers import NewPair, Pair, copy_project, exit_code


def test_ctrl_c_ends_an_attached_up(new_pair: NewPair) -> None:
    """Ctrl-C in `docker compose up` stops the server with 0, after the client got its reply."""
    with new_pair() as pair:
        up = subprocess.Popen(
            ["docker", "compose", "up"],
            cwd=pair.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert up.stdout
        assert any("SERVER OK - STATUS 200" in line for line in up.stdout)
        assert exit_code(pair.client) == 0
        os.killpg(up.pid, signal.SIGINT)
        up.communicate()

        assert exit_code(pair.server) == 0


def make(pair: Pair, target: str) -> str:
    """Return what make prints in the folder of a pair."""
    done = subprocess.run(
        ["make", target], cwd=pair.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_make_up_logs_and_down(new_pair: NewPair) -> None:
    """`make up` starts the pair, `make logs` shows the reply, `make down` removes everything."""
    with new_pair() as pair:
        pair.compose("down")
        copy_project(pair.folder, "Makefile scripts")
        make(pair, "up")
        assert exit_code(pair.client) == 0
        assert "SERVER OK - STATUS 200" in make(pair, "logs")
        make(pair, "down")

        assert pair.what_is_there() == []
