"""The real Compose file, built, run and torn down as its users do."""

import pytest
import yaml
from docker import DockerClient
from docker.models.containers import Container
from dotenv import dotenv_values
from testcontainers.compose import DockerCompose

from app import __version__
from tests.lib.containers import NewPair, exit_code, logs, result
from tests.lib.support import ROOT

SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
VARIABLES = SERVICES["server"]["environment"] | SERVICES["client"]["environment"]


def seen_in(container: Container) -> dict[str, str]:
    """Return the project's variables that the program of a container sees."""
    lines = (line.partition("=") for line in container.attrs["Config"]["Env"])
    # One without = is not handed on.
    return {name: text for name, given, text in lines if given and name in VARIABLES}


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


def test_no_env_at_all(new_pair: NewPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a fresh clone, without a .env, one command builds and runs the pair.

    Its addresses, and its base image, come from the shell: another pair may have the defaults,
    which tests/unit holds against .env.example.
    """
    with new_pair() as pair:
        pair.compose("down", "--rmi=local")
        (pair.folder / ".env").unlink()
        for name, value in pair.env.items():
            monkeypatch.setenv(name, value)
        pair.compose("up", "--detach")
        assert exit_code(pair.client) == 0
        assert logs(pair.client).stdout == "SERVER OK - STATUS 200\n"
        address = pair.env["SERVER_HOST"]
        assert seen_in(pair.server) == {"HOST": address, "PORT": "8888"}
        assert seen_in(pair.client) == {"SERVER_HOST": address, "SERVER_PORT": "8888"}


def test_an_env_of_every_variable(new_pair: NewPair) -> None:
    """Each container sees what .env says of its variables, an empty MESSAGE too."""
    settings = dotenv_values(ROOT / ".env.example").keys() - {"PYTHON_IMAGE"}
    lines = {name: f"{name} $HOME #1" for name in settings}
    with new_pair(**lines | {"MESSAGE": ""}) as pair:
        env = pair.env | {"HOST": pair.env["SERVER_HOST"], "PORT": pair.env["SERVER_PORT"]}
        for service in ("server", "client"):
            expected = {name: env[name] for name in SERVICES[service]["environment"]}
            assert seen_in(pair.container(service)) == expected


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
