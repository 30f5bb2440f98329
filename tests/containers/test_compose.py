"""The real Compose file, built, run and torn down as its users do."""

import json
import os
import subprocess
import sys
import time

import pytest
import yaml
from docker import DockerClient
from dotenv import dotenv_values
from testcontainers.compose import DockerCompose

from app import __version__
from tests.containers.support import STAYING, NewPair, Pair, exit_code, logged, logs, result
from tests.support import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def handed_to(service: str) -> set[str]:
    """Name the variables of a service."""
    return set(COMPOSE["services"][service]["environment"])


def seen_by(pair: Pair, service: str) -> dict[str, str]:
    """Return what a program in a service's container sees of the project's variables."""
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    seen = json.loads(pair.compose("run", "--rm", service, "python3", "-c", show))
    known = handed_to("server") | handed_to("client")
    return {name: text for name, text in seen.items() if name in known}


def test_a_pair_with_an_env_of_its_own(new_pair: NewPair) -> None:
    """What .env says reaches both containers whole, addresses included, and down removes all."""
    with new_pair(
        SERVER_PORT="7777", MESSAGE=r"\x4fl\xc3\xa1 $HOME #1", REPLY="pronto: 100 %", OUTPUT="json"
    ) as pair:
        pair.compose("down", "--rmi=local")
        assert pair.what_is_there() == []
        with DockerCompose(pair.folder, build=True, wait=False):
            client, server = pair.client, pair.server
            assert exit_code(client) == 0
            found = result(client)
            assert (found["status"], found["reply"]) == ("ok", "pronto: 100 %")
            assert found["peer"] == f"{pair.env['SERVER_HOST']}:7777"
            assert found["local"].startswith(f"{pair.env['CLIENT_HOST']}:")
            assert f" {found['local']}: Olá $HOME #1\n" in logs(server).stderr
            assert logs(server).stdout == ""
            assert len(pair.what_is_there()) == 3
        assert pair.what_is_there() == []


def skip_unless_free(pair: Pair) -> None:
    """Skip where somebody else has the default addresses."""
    preflight = [sys.executable, "-m", "scripts.preflight"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        preflight, cwd=pair.folder, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"the default addresses are not free here: {done.stderr}")


def test_no_env_at_all(new_pair: NewPair, base_image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a fresh clone, without a .env, one command builds and runs the pair, with the defaults."""
    with new_pair() as pair:
        pair.compose("down", "--rmi=local")
        (pair.folder / ".env").unlink()
        monkeypatch.setenv("PYTHON_IMAGE", base_image)
        skip_unless_free(pair)
        try:
            pair.compose("up", "--detach")
            assert exit_code(pair.client) == 0
            assert logs(pair.client).stdout == "SERVER OK - STATUS 200\n"
            pair.compose("stop")
            assert seen_by(pair, "server") == {"HOST": "192.168.15.10", "PORT": "8888"}
            assert seen_by(pair, "client") == {
                "SERVER_HOST": "192.168.15.10",
                "SERVER_PORT": "8888",
            }
        except subprocess.CalledProcessError:
            skip_unless_free(pair)  # somebody may have been quicker
            raise
        finally:
            pair.compose("down")


def test_an_env_of_every_variable(new_pair: NewPair) -> None:
    """Each container sees what .env says of its variables, an empty MESSAGE too."""
    settings = dotenv_values(ROOT / ".env.example").keys() - {"PYTHON_IMAGE"}
    lines = {name: f"{name} $HOME #1" for name in settings}
    with new_pair(**lines | {"MESSAGE": ""}) as pair:
        env = pair.env | {"HOST": pair.env["SERVER_HOST"], "PORT": pair.env["SERVER_PORT"]}
        for service in ("server", "client"):
            assert seen_by(pair, service) == {name: env[name] for name in handed_to(service)}


def test_what_the_images_say_of_themselves(
    docker_client: DockerClient, images: dict[str, str]
) -> None:
    """Each image says what it is, and which version when it is asked."""
    for service, image in images.items():
        labels = docker_client.images.get(image).labels
        assert labels["org.opencontainers.image.title"] == f"TCP pair: {service}"
        assert labels["org.opencontainers.image.licenses"] == "MIT"
        asked = ["python3", "-m", f"app.{service}", "--version"]
        said = docker_client.containers.run(image, asked, remove=True, network_mode="none")
        assert said.decode() == f"tcp-pair {__version__}\n"


def test_a_server_with_a_bad_value(new_pair: NewPair) -> None:
    """It ends with 78 and one line, and Docker does not start it again."""
    with new_pair(SERVER_PORT="http") as pair:
        pair.start("server")
        server = pair.server
        assert exit_code(server) == 78
        assert server.attrs["RestartCount"] == 0
        (line,) = logs(server).stderr.splitlines()
        assert "PORT='http'" in line


def test_down_is_quick(new_pair: NewPair) -> None:
    """`docker compose down` takes under 3 s while a client is connected."""
    with new_pair(**STAYING, LOG_LEVEL="DEBUG") as pair:
        pair.start()
        logged(pair.server, f"{pair.env['CLIENT_HOST']}:")
        began = time.monotonic()
        pair.compose("down")
        assert time.monotonic() - began < 3
        assert pair.what_is_there() == []
