"""The pair as its users start it: `docker compose up` with Ctrl-C, `make up` and `make run`."""

import subprocess
import sys

import pytest
from docker import DockerClient

from app import __version__
from scripts.clean import IMAGES
from tests.lib.containers import NewPair, Pair, copy_project, exit_code

# Runs a command in a terminal: what the test writes to stdin counts as typed.
TERMINAL = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])"]


def test_compose_up_works_in_a_fresh_clone(
    new_pair: NewPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`docker compose up` builds and runs the pair without .env, and Ctrl-C stops the server."""
    pair = new_pair()
    pair.compose("down", "--rmi=local")
    (pair.folder / ".env").unlink()
    # Another pair may have the default addresses.
    for name, value in pair.env.items():
        monkeypatch.setenv(name, value)
    with subprocess.Popen(
        [*TERMINAL, "docker", "compose", "up"],
        cwd=pair.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as up:
        assert up.stdout
        assert any(b"SERVER OK - STATUS 200" in line for line in up.stdout)
        assert exit_code(pair.client) == 0
        up.communicate(b"\x03")

    # Compose at times takes one Ctrl-C for two, and kills the server.
    assert exit_code(pair.server) in (0, 137)


def make(pair: Pair, target: str) -> str:
    """Return what make prints in the folder of a pair."""
    command = ["make", "--no-print-directory", target]
    return subprocess.check_output(command, cwd=pair.folder, text=True)


def test_make_runs_the_pair(new_pair: NewPair) -> None:
    """`make run`, and `make up` until `make down`, show the reply and leave nothing running."""
    pair = new_pair(CONNECT_TIMEOUT="0.5", RETRY_DELAY="0.3")
    pair.compose("down")
    copy_project(pair.folder, "Makefile scripts")
    shown = make(pair, "run")
    texts = ("INFO waiting for", "INFO listening on", "client | SERVER OK - STATUS 200")
    waiting, listening, reply = (shown.index(text) for text in texts)
    assert waiting < listening < reply
    assert shown.endswith("the client ended with exit code 0: all went well\n")
    assert pair.what_is_there() == []

    make(pair, "up")
    assert exit_code(pair.client) == 0
    assert "SERVER OK - STATUS 200" in make(pair, "logs")
    make(pair, "down")
    assert pair.what_is_there() == []


def test_image_has_its_version_and_label(new_pair: NewPair, docker_client: DockerClient) -> None:
    """Each image contains this version, and the label by which `make clean` finds it."""
    project = new_pair().folder.name
    (label, *references), *_ = IMAGES
    for service, reference in zip(("server", "client"), references, strict=True):
        filters = dict(text.format(project=project).split("=", 1) for text in (label, reference))
        (image,) = docker_client.images.list(filters=filters)
        asked = ["python3", "-m", f"app.{service}", "--version"]
        said = docker_client.containers.run(image, asked, remove=True, network_mode="none")
        assert said.decode() == f"tcp-pair {__version__}\n"
