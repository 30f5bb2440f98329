"""deploy/wait-for.yml as it stands: an application that waits for its database's answer."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.support import (
    TAKEN,
    DockerFailed,
    docker,
    logged,
    logs,
    moment,
    state,
    subnets,
)
from tests.services.support import SERVICES
from tests.support import ROOT

POSTGRES = SERVICES["PostgreSQL"]
# What the official image does with POSTGRES_PASSWORD, and how slowly ours starts.
DATABASE = r"""
FROM {image}
ENV PATH=/usr/lib/postgresql/17/bin:$PATH
USER postgres
RUN echo "ALTER USER postgres PASSWORD 'example'" | \
    postgres --single -D /etc/postgresql/17/main
CMD {command}
"""


class Stack:
    """The containers of deploy/wait-for.yml, in a network whose subnet is ours to choose."""

    def __init__(self, project: str, folder: Path) -> None:
        self.project = project
        self.network = folder / "network.yml"
        files = ("-f", str(ROOT / "deploy" / "wait-for.yml"), "-f", str(self.network))
        self.command = ("compose", "-p", project, *files)

    def __getitem__(self, service: str) -> str:
        """Name a service's container."""
        return f"{self.project}-{service}-1"

    def create(self) -> None:
        """Make the network and the containers; start nothing."""
        for subnet in subnets():
            network = {"internal": True, "ipam": {"config": [{"subnet": str(subnet)}]}}
            self.network.write_text(json.dumps({"networks": {"default": network}}))
            try:
                docker(*self.command, "up", "--build", "--no-start")
            except DockerFailed as failure:
                if TAKEN not in str(failure):
                    raise
            else:
                return

    def up(self) -> "subprocess.Popen[bytes]":
        """Start it as the file says that a user does."""
        command = ["docker", *self.command, "up", "--build", "--detach"]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def down(self) -> None:
        docker(*self.command, "down", "--rmi=local", "--volumes", "--timeout=1")


@pytest.fixture(scope="module")
def database_image(
    name: str, services_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Make an image of a database that takes its time to start."""
    image, folder = f"{name}-database", tmp_path_factory.mktemp("database")
    command = json.dumps(["sh", "-ec", POSTGRES.script])
    (folder / "Dockerfile").write_text(DATABASE.format(image=services_image, command=command))
    docker("build", "--quiet", f"--tag={image}", str(folder))
    yield image
    docker("rmi", image)


@pytest.fixture
def stack(
    name: str,
    base_image: str,
    database_image: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stack]:
    """Create the containers."""
    monkeypatch.setenv("PYTHON_IMAGE", base_image)
    monkeypatch.setenv("DATABASE_IMAGE", database_image)
    stack = Stack(f"{name}-stack", tmp_path)
    try:
        stack.create()
        yield stack
    finally:
        stack.down()


def test_an_application_that_needs_a_database(stack: Stack) -> None:
    """It starts only after the database has answered that it takes connections, and works then."""
    with stack.up() as up:
        logged(stack["wait"], f"Wrong reply: {POSTGRES.not_yet}")
        assert state(stack["app"])["Status"] == "created"
        docker("exec", stack["database"], *POSTGRES.go)

        assert up.wait() == 0
    assert docker("wait", stack["app"]).stdout == "0\n"
    assert "PostgreSQL 17" in logs(stack["app"]).stdout
    answered, started = state(stack["wait"])["FinishedAt"], state(stack["app"])["StartedAt"]
    assert moment(answered) < moment(started)


def test_a_database_that_never_answers(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose fails at the client's deadline, and the application has never been started."""
    monkeypatch.setenv("DEADLINE", "1")
    with stack.up() as up:
        assert up.wait() != 0
    # Which of the two depends on whether PostgreSQL has come so far as to say that it is starting.
    assert state(stack["wait"])["ExitCode"] in {69, 76}
    assert state(stack["app"])["Status"] == "created"
