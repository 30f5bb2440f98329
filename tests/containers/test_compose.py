"""The real Compose file, built, run and torn down as its users do."""

import re
import subprocess
import sys
import time

import pytest
from testcontainers.compose import DockerCompose

from tests.containers.support import (
    STAYING,
    TAKEN,
    DockerFailed,
    NewPair,
    exit_code,
    inspect,
    logged,
    logs,
    result,
    state,
    until,
    what_is_there,
)
from tests.support import ROOT

# Where there is no server, the client has given up after about a second.
IN_VAIN = {"CONNECT_TIMEOUT": "0.3", "RETRY_DELAY": "0.3", "DEADLINE": "1", "OUTPUT": "json"}

COMPOSE = (ROOT / "docker-compose.yml").read_text()


def test_a_pair_with_an_env_of_its_own(new_pair: NewPair) -> None:
    """What .env says reaches both containers whole, addresses included, and down removes all."""
    with new_pair(
        SERVER_PORT="7777", MESSAGE=r"\x4fl\xc3\xa1 $HOME #1", REPLY="pronto: 100 %", OUTPUT="json"
    ) as pair:
        pair.compose("down", "--rmi=local")
        assert what_is_there(pair) == []
        with DockerCompose(pair.folder, build=True, wait=False):
            client, server = pair.client, pair.server
            assert exit_code(client) == 0
            found = result(client)
            assert (found["status"], found["reply"]) == ("ok", "pronto: 100 %")
            assert found["peer"] == f"{pair.env['SERVER_HOST']}:7777"
            assert found["local"].startswith(f"{pair.env['CLIENT_HOST']}:")
            assert f" {found['local']}: Olá $HOME #1\n" in logs(server).stderr
            assert logs(server).stdout == ""
            assert len(what_is_there(pair)) == 3
        assert what_is_there(pair) == []


def test_no_env_at_all(new_pair: NewPair, base_image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a fresh clone, without a .env, one command builds and runs the pair, with the defaults."""
    with new_pair() as pair:
        pair.compose("down", "--rmi=local")
        (pair.folder / ".env").unlink()
        monkeypatch.setenv("PYTHON_IMAGE", base_image)
        preflight = [sys.executable, str(ROOT / "scripts" / "preflight.py")]
        fits = subprocess.run(
            preflight, cwd=pair.folder, stderr=subprocess.PIPE, text=True, check=False
        )
        if fits.returncode:
            pytest.skip(f"the default addresses are not free here: {fits.stderr}")
        try:
            pair.compose("up", "--exit-code-from", "client")
        except DockerFailed as failure:
            if TAKEN not in str(failure):
                raise
            pytest.skip(f"the default addresses were taken a moment ago: {failure}")
        finally:
            shown = logs(pair.client).stdout if pair.client else ""
            pair.compose("down")
        assert shown == "SERVER OK - STATUS 200\n"


def test_the_labels_of_the_images(images: dict[str, str]) -> None:
    """Each image says what it is, and the version that stands in the Compose file."""
    (version,) = re.findall(r'^x-version: &version "(.+)"$', COMPOSE, re.MULTILINE)
    for service, image in images.items():
        labels = inspect(image, "image")["Config"]["Labels"]
        assert labels["org.opencontainers.image.title"] == f"TCP pair: {service}"
        assert labels["org.opencontainers.image.version"] == version
        assert labels["org.opencontainers.image.licenses"] == "MIT"


def test_the_code_of_success(new_pair: NewPair) -> None:
    """`up --exit-code-from client` ends with 0 when the reply has come."""
    with new_pair() as pair:
        assert pair.run() == 0
        assert state(pair.client)["ExitCode"] == state(pair.server)["ExitCode"] == 0


def test_the_code_of_a_server_that_never_comes(new_pair: NewPair) -> None:
    """`up --exit-code-from client` ends with 69 where there is no server before the deadline."""
    with new_pair(**IN_VAIN) as pair:
        assert pair.run("--scale", "server=0") == 69
        assert result(pair.client)["status"] == "unavailable"


def test_the_code_of_a_wrong_reply(new_pair: NewPair) -> None:
    """`up --exit-code-from client` ends with 76 when something else answers."""
    pair = new_pair(OUTPUT="json")
    pair.override("client", environment={"REPLY": "SERVER OK - STATUS 201"})
    with pair:
        assert pair.run() == 76
        assert result(pair.client)["reply"] == "SERVER OK - STATUS 200"


def test_the_code_of_a_server_that_ends_first(new_pair: NewPair) -> None:
    """Compose makes that 143, the client's code for SIGTERM, and the server's log says why."""
    with new_pair(**IN_VAIN | {"DEADLINE": "0"}, IDLE_TIMEOUT="soon") as pair:
        pair.start("client")
        logged(pair.client, "waiting")
        assert pair.run() == 143
        assert state(pair.client)["ExitCode"] == 143
        assert result(pair.client)["status"] == "interrupted"
        assert "IDLE_TIMEOUT='soon'" in logs(pair.server).stderr


def test_the_code_of_a_server_with_a_bad_value(new_pair: NewPair) -> None:
    """It ends with 78 and one line for each time that Docker has started it."""
    with new_pair(SERVER_PORT="http") as pair:
        pair.start("server")
        server = pair.server
        until(lambda: state(server)["Status"] == "exited")  # for good
        assert state(server)["ExitCode"] == 78
        restarts = inspect(server)["RestartCount"]
        lines = logs(server).stderr.splitlines()
        assert len(lines) == 1 + restarts
        assert all("PORT='http'" in line for line in lines)


def test_two_pairs_side_by_side(new_pair: NewPair) -> None:
    """A second copy of the project builds, runs and goes, and the first one never notices."""
    with new_pair(**STAYING) as first, new_pair(REPLY="the second") as second:
        first.start()
        before = [inspect(first.server), inspect(first.client)]

        assert second.run() == 0
        assert logs(second.client).stdout == "the second\n"
        second.compose("down")

        after = [inspect(first.server), inspect(first.client)]
        for then, now in zip(before, after, strict=True):
            assert now["State"]["Status"] == "running"
            assert (now["Id"], now["State"]["StartedAt"]) == (
                then["Id"],
                then["State"]["StartedAt"],
            )
            assert now["NetworkSettings"]["Networks"] == then["NetworkSettings"]["Networks"]


def test_down_is_quick(new_pair: NewPair) -> None:
    """`docker compose down` takes under 3 s while a client is connected."""
    with new_pair(**STAYING, LOG_LEVEL="DEBUG") as pair:
        pair.start()
        logged(pair.server, f"{pair.env['CLIENT_HOST']}:")
        began = time.monotonic()
        pair.compose("down")
        assert time.monotonic() - began < 3
        assert what_is_there(pair) == []
