"""A default that stands in several files is the same in all of them."""

import re

import pytest
import yaml
from dotenv import dotenv_values

from app.config import ClientConfig, Environment, ServerConfig
from scripts.ready import DEFAULT
from tests.lib.support import ROOT


def defaults(config: type[ServerConfig | ClientConfig]) -> dict[str, str]:
    """Return the variables that a program reads and that have a default, with it."""
    env = Environment({})
    config(env)
    return {name: default for name, (default, *_) in env.asked.items() if default}


NETWORK = {
    "PYTHON_IMAGE": DEFAULT,
    "SUBNET": "192.168.15.0/24",
    "IP_RANGE": "192.168.15.128/25",
    "CLIENT_HOST": "192.168.15.20",
}
READS = {"server": defaults(ServerConfig), "client": defaults(ClientConfig)}
DEFAULTS = READS["server"] | READS["client"]
# The server's own HOST and PORT come out of the two that the client reads.
DOTENV = NETWORK | {name: text for name, text in DEFAULTS.items() if name not in {"HOST", "PORT"}}

HOST = f"${{SERVER_HOST-{DEFAULTS['SERVER_HOST']}}}"
PORT = f"${{SERVER_PORT-{DEFAULTS['SERVER_PORT']}}}"


def test_example_has_every_default() -> None:
    """.env.example contains every variable of .env with the programs' default."""
    assert dotenv_values(ROOT / ".env.example") == DOTENV


@pytest.mark.parametrize(
    "path",
    [
        *("docker-compose.yml", "deploy/stack.yml"),
        *("examples/wait-for.yml", "examples/wait-for-two.yml"),
    ],
)
def test_compose_files_have_the_defaults_of_the_example(path: str) -> None:
    """A default in a Compose file is that of .env.example, as ${NAME-default} and never as :-."""
    text = re.sub(r"(?m)#.*", "", (ROOT / path).read_text())
    found = re.findall(r"\$\{([A-Z_]+)-([^-?+}][^}]*)\}", text)

    assert len(found) == text.count("$") > 0
    known = DOTENV | {"SERVER_IMAGE": "tcp-pair-server", "CLIENT_IMAGE": "tcp-pair-client"}
    assert {*found} <= {*known.items()}


@pytest.mark.parametrize(
    ("path", "service", "set_here"),
    [
        ("docker-compose.yml", "server", {"HOST": HOST, "PORT": PORT}),
        ("docker-compose.yml", "client", {"SERVER_HOST": HOST, "SERVER_PORT": PORT}),
        ("deploy/stack.yml", "server", {"HOST": "0.0.0.0", "PORT": PORT}),
        (
            *("deploy/stack.yml", "client"),
            {"SERVER_HOST": "server", "SERVER_PORT": PORT, "OUTPUT": "json"},
        ),
    ],
)
def test_service_gets_what_it_reads(path: str, service: str, set_here: dict[str, str]) -> None:
    """A service gets all its variables and no other, by name if the file does not set them."""
    services = yaml.safe_load((ROOT / path).read_text())["services"]

    assert services[service]["environment"] == dict.fromkeys(READS[service]) | set_here


def test_images_have_the_same_default_base() -> None:
    """A build without Compose starts from the image that .env.example names."""
    for name in ("Dockerfile.server", "Dockerfile.client"):
        assert f"ARG PYTHON_IMAGE={DEFAULT}\n" in (ROOT / name).read_text()
