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
    ("path", "needed"),
    [
        ("docker-compose.yml", {*NETWORK, "SERVER_HOST", "SERVER_PORT"}),
        ("deploy/stack.yml", {"SERVER_PORT"}),
        ("examples/wait-for.yml", {"PYTHON_IMAGE"}),
        ("examples/wait-for-two.yml", {"PYTHON_IMAGE"}),
    ],
)
def test_compose_files_have_only_the_defaults_that_they_need(path: str, needed: set[str]) -> None:
    """A default in a Compose file is that of .env.example, as ${NAME-default} and never as :-."""
    text = re.sub(r"(?m)#.*", "", (ROOT / path).read_text())
    found = {}
    for form in re.findall(r"\$\S*", text):
        match = re.match(r"\$\{([A-Z_]+)-([^-?+}][^}]*)\}", form)
        assert match, form
        found[match[1]] = match[2]
    for own in ("SERVER_IMAGE", "CLIENT_IMAGE"):
        found.pop(own, None)

    assert found == {name: DOTENV[name] for name in needed}


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
