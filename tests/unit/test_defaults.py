"""What is written down more than once is the same everywhere: defaults, names, exit codes."""

import re

import pytest
from dotenv import dotenv_values

from app.config import ClientConfig, ServerConfig
from tests.support import ROOT

IMAGE = "python:3.14-slim"
NETWORK = {
    "PYTHON_IMAGE": IMAGE,
    "SUBNET": "192.168.15.0/24",
    "IP_RANGE": "192.168.15.128/25",
    "CLIENT_HOST": "192.168.15.20",
}
DEFAULTS = {
    name: row[0] for config in (ServerConfig, ClientConfig) for name, row in config.rows().items()
}
# The server's own HOST and PORT come out of the two that the client reads.
DOTENV = NETWORK | {name: text for name, text in DEFAULTS.items() if name not in {"HOST", "PORT"}}

CLIENT_CODES = {
    *((0, "ok"), (64, ""), (68, "unresolved"), (69, "unavailable"), (74, "closed")),
    *((75, "no-reply"), (76, "wrong-reply"), (78, "config")),
    *((130, "interrupted"), (143, "interrupted")),
}
SERVER_CODES = {0, 64, 71, 78}

COMPOSE, STACK = (
    re.sub(r"(?m)^ *#.*\n", "", (ROOT / name).read_text())
    for name in ("docker-compose.yml", "deploy/stack.yml")
)
EXAMPLE = (ROOT / ".env.example").read_text()


def readme_rows(columns: str) -> list[tuple[str, ...]]:
    """Return the cells of the README's table rows that have these first columns."""
    path = ROOT / "README.md"
    assert path.exists(), "README.md is not there"
    rows = re.findall(rf"^\| *{columns} *\|", path.read_text(), re.MULTILINE)
    assert rows, f"README.md has no table with rows like {columns}"
    return rows


def handed_to(service: str) -> dict[str, tuple[str, str]]:
    """Return what Compose hands a service: each variable, and out of which, with its default."""
    section = COMPOSE.split(f"\n  {service}:\n")[1]
    (block,) = re.findall(r"^    environment:\n((?:      .+\n)+)", section, re.MULTILINE)[:1]
    lines = re.findall(r"^      (\w+): \$\{(\w+)-(.*)\}$", block, re.MULTILINE)
    assert len(lines) == len(block.splitlines())
    return {name: (source, default) for name, source, default in lines}


def test_the_example_has_every_default() -> None:
    """.env.example carries every variable of .env, and each has the default of the programs."""
    assert dotenv_values(ROOT / ".env.example") == DOTENV


def test_the_example_quotes_what_compose_would_read() -> None:
    """A value that Compose could take apart stands in single quotes."""
    for line in EXAMPLE.splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[A-Z_]+=('[^']*'|[^\s'\"\\$#]*)", line)


def test_compose_has_every_default() -> None:
    """Whatever Compose reads from .env has the same default there as in .env.example."""
    read = set(re.findall(r"\$\{(\w+)-([^}]*)\}", COMPOSE))

    assert read == set(DOTENV.items())


def test_the_stack_has_the_same_defaults() -> None:
    """Whatever the stack reads from the environment has the same default as with Compose."""
    read = set(re.findall(r"\$\{(\w+)-([^}]*)\}", STACK))
    own = {("SERVER_IMAGE", "tcp-pair-server"), ("CLIENT_IMAGE", "tcp-pair-client")}
    # It has no fixed addresses, and a client whose result is for a program.
    without = {"PYTHON_IMAGE", "SUBNET", "IP_RANGE", "SERVER_HOST", "CLIENT_HOST", "OUTPUT"}

    assert read == own | {(name, text) for name, text in DOTENV.items() if name not in without}


def test_compose_takes_an_empty_value_for_a_value() -> None:
    """Every default has the form ${NAME-default}: an empty MESSAGE means something."""
    for form in re.findall(r"\$\S*", COMPOSE):
        assert re.match(r"\$\{[A-Z_]+-[^-?+]", form)


@pytest.mark.parametrize(
    ("service", "config"), [("server", ServerConfig), ("client", ClientConfig)]
)
def test_compose_hands_each_service_what_it_reads(
    service: str, config: type[ServerConfig | ClientConfig]
) -> None:
    """Each service gets its variables, all of them, out of those that .env names."""
    renamed = {"HOST": "SERVER_HOST", "PORT": "SERVER_PORT"}
    expected = {
        name: (renamed.get(name, name), DEFAULTS[name])
        for name in map(str.upper, config.__annotations__)
    }

    assert handed_to(service) == expected


@pytest.mark.parametrize("service", ["server", "client"])
def test_the_images_have_the_same_default_base(service: str) -> None:
    """A build without Compose starts from the image that .env.example names."""
    assert f"ARG PYTHON_IMAGE={IMAGE}\n" in (ROOT / f"Dockerfile.{service}").read_text()


def test_a_stop_is_over_before_docker_kills() -> None:
    """DRAIN_TIMEOUT stays below the server's stop_grace_period."""
    section = COMPOSE.split("\n  server:\n")[1]
    grace = re.search(r"^    stop_grace_period: (\d+)s$", section, re.MULTILINE)

    assert grace
    assert float(DEFAULTS["DRAIN_TIMEOUT"]) < float(grace[1])


def test_the_readme_has_every_variable() -> None:
    """The README's table has each variable, who reads it, and the default; and no other."""
    expected = set()
    for name, default in DEFAULTS.items():
        readers = [
            reader
            for reader, config in (("server", ServerConfig), ("client", ClientConfig))
            if name.lower() in config.__annotations__
        ]
        expected.add((name, "both" if len(readers) == 2 else readers[0], default))

    assert set(readme_rows(r"`([A-Z_]+)` *\| *(server|client|both) *\| *`([^`|]*)`")) == expected


def test_the_readme_has_every_exit_code() -> None:
    """The README's tables have each exit code with its word, and no other."""
    rows = readme_rows(r"([\d, ]+?) *\| *(?:`([a-z-]+)`)?")
    found = {(int(code), word) for codes, word in rows for code in codes.split(",")}

    assert found >= CLIENT_CODES
    assert {code for code, _ in found - CLIENT_CODES} <= SERVER_CODES
    assert {code for code, _ in found} >= SERVER_CODES
