"""Free subnets, copies of the project as pairs of containers, and waits for containers."""

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest
from docker import DockerClient
from docker.errors import APIError
from docker.models.containers import Container

from tests.lib import support
from tests.lib.support import ROOT

Json = dict[str, Any]
T = TypeVar("T")

# Seconds: a container takes longer than a program.
PATIENCE = 3 * support.PATIENCE

# The files of the project that Docker needs.
PROJECT = "app .dockerignore .env.example Dockerfile.client Dockerfile.server docker-compose.yml"

# A client that sends nothing gets no reply, and stays connected.
STAYING = {"MESSAGE": "", "REPLY_TIMEOUT": "600", "DEADLINE": "0"}


def skip_or_fail(why: str) -> NoReturn:
    """Skip a test that Docker cannot run here; with REQUIRE_DOCKER=1, fail it."""
    if os.environ.get("REQUIRE_DOCKER") == "1":
        pytest.fail(f"REQUIRE_DOCKER=1, but {why}")
    pytest.skip(why)


def image_of(service: str) -> str:
    """Return the image that tools/run_tests.py has built, or chosen, for this service."""
    variable = f"{service.upper()}_IMAGE"
    if variable not in os.environ:
        skip_or_fail(f"{variable} is not set, which tools/run_tests.py does")
    return os.environ[variable]


def log_of(container: Container) -> str:
    """Return what a container has written to stderr until now."""
    return str(container.logs(stdout=False).decode())


def execute(container: Container, code: str) -> str:
    """Run Python code in a container, as its own user; return what it prints."""
    done = container.exec_run(["python3", "-c", code])
    assert done.exit_code == 0, done.output.decode()
    return str(done.output.decode())


def report(client: DockerClient, name: str) -> str:
    """Return the state and the log of each container whose name begins with ``name``."""
    found = client.containers.list(all=True, ignore_removed=True, filters={"name": f"^/?{name}"})
    return "\n".join(
        f"--- {container.name} is {container.status}, {container.attrs['State']['ExitCode']}:"
        f"\n{container.logs().decode()}"
        for container in found
    )


def until(awaited: str, container: Container, look: Callable[[Container], T]) -> T:
    """Look at a container until the result is true; fail if the container ends before."""

    def seen() -> T:
        container.reload()
        # Read before the look, because the last lines of a container still count.
        has_ended = container.status in ("exited", "dead")
        found = look(container)
        assert found or not has_ended, f"{container.name} ended without {awaited}, saw {found!r}"
        return found

    return support.until(seen, PATIENCE, 0.05, awaited=awaited)


def logged(container: Container, text: str) -> str:
    """Wait for a line with this text in a container's log, and return the line."""

    def look(container: Container) -> str:
        return next((line for line in log_of(container).splitlines() if text in line), "")

    return until(f"a line with {text!r}", container, look)


def exit_code(container: Container) -> int:
    """Wait until a container ends, and return its exit code."""
    return int(container.wait(timeout=PATIENCE)["StatusCode"])


def on_a_free_subnet(make: Callable[[dict[str, str]], T]) -> T:
    """Call ``make`` with lines for .env of random subnets, until Docker accepts a subnet.

    Only Docker knows whether a subnet is free, because other runs choose subnets too.
    """
    # RFC 2544 keeps these for tests.
    subnets = random.sample([*IPv4Network("198.18.0.0/15").subnets(new_prefix=26)], 5)
    for subnet in subnets:
        lines = {"SUBNET": str(subnet), "IP_RANGE": str(list(subnet.subnets())[1])}
        lines |= {"SERVER_HOST": str(subnet[10]), "CLIENT_HOST": str(subnet[20])}
        try:
            return make(lines)
        except (APIError, subprocess.CalledProcessError) as error:
            why = error
    raise why


def copy_project(folder: Path, names: str) -> None:
    """Copy these files and folders of the project."""
    for name in names.split():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)


class Pair:
    """A copy of the project in a folder of its own, as a user has it, with a .env.

    Its network and both containers exist, but nothing runs yet.
    """

    def __init__(self, client: DockerClient, folder: Path, override: Json, env: Json) -> None:
        self.folder = folder
        self.env = env
        self._client = client
        copy_project(folder, PROJECT)
        # Compose reads this file by default.
        services = json.dumps({"services": override})
        (folder / "docker-compose.override.yml").write_text(services, encoding="utf-8")
        on_a_free_subnet(self._create)

    def _create(self, addresses: dict[str, str]) -> None:
        self.env |= addresses
        # Not by python-dotenv, which would double a backslash that Compose reads as it is.
        lines = (f"{name}='{value}'\n" for name, value in self.env.items())
        (self.folder / ".env").write_text("".join(lines), encoding="utf-8")
        self.compose("up", "--no-start")

    def compose(self, *arguments: str) -> None:
        """Run docker compose in the folder. Raises CalledProcessError."""
        subprocess.run(["docker", "compose", *arguments], cwd=self.folder, check=True)

    def start(self, *services: str) -> None:
        """Start the containers of these services, or of both."""
        for service in services or ("server", "client"):
            self.container(service).start()

    def container(self, service: str) -> Container:
        """Return the container of a service."""
        return self._client.containers.get(f"{self.folder.name}-{service}-1")

    @property
    def server(self) -> Container:
        """The server's container."""
        return self.container("server")

    @property
    def client(self) -> Container:
        """The client's container."""
        return self.container("client")

    def what_is_there(self) -> list[str]:
        """Return the names of the containers and networks with this pair's Compose label."""
        ours = {"label": f"com.docker.compose.project={self.folder.name}"}
        containers = self._client.containers.list(all=True, ignore_removed=True, filters=ours)
        return [found.name for found in (*containers, *self._client.networks.list(filters=ours))]


NewPair = Callable[..., Pair]
