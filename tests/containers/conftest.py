"""What the tests of containers need: Docker, a name for this run, nothing left at its end."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import FrameType

import pytest
from dotenv import dotenv_values

from tests.containers.support import NewPair, OnHost, Pair, docker
from tests.containers.sweeper import PREFIX
from tests.support import ROOT

# testcontainers' own sweeper is one more image to pull, and does not know what Compose makes.
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"


def why_no_docker() -> str:
    """Say what Docker lacks; nothing if it is as it should be."""
    for command in (["version"], ["compose", "version"]):
        try:
            answer = subprocess.run(
                ["docker", *command], capture_output=True, text=True, check=False, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if answer.returncode:
            return f"docker {' '.join(command)}: {answer.stderr.strip()}"
    return ""


@pytest.fixture(scope="session")
def settings() -> dict[str, str | None]:
    """Read the defaults: all that .env can say."""
    return dotenv_values(ROOT / ".env.example")


@pytest.fixture(scope="session", autouse=True)
def name(settings: dict[str, str | None]) -> Iterator[str]:
    """Name this run; everything that it makes has a name that begins so."""
    why = why_no_docker()
    if why:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            pytest.fail(f"Docker is required, but: {why}")
        pytest.skip(f"no Docker: {why}")
    name = PREFIX + secrets.token_hex(4)
    command = [sys.executable, str(Path(__file__).with_name("sweeper.py")), name]
    interrupted = []

    def interrupt(number: int, _: FrameType | None) -> None:
        interrupted.append(number)
        raise KeyboardInterrupt

    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as sweeper,
        pytest.MonkeyPatch.context() as patch,
    ):
        # SIGTERM by itself would leave no time to take anything down.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, interrupt)
        # Compose believes the environment more than any .env. The base image is the same in both.
        for variable in [*os.environ]:
            if variable in settings.keys() - {"PYTHON_IMAGE"} or variable.startswith("COMPOSE_"):
                patch.delenv(variable)
        yield name
        if not interrupted:
            assert sweeper.stdin
            sweeper.stdin.write(b"in order")


@pytest.fixture(scope="session")
def images(
    name: str, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Build both images; return their names, by service."""
    pair = Pair(tmp_path_factory.mktemp(f"{name}-images", numbered=False))
    pair.write_env(PYTHON_IMAGE=base_image)
    pair.compose("build")
    yield {service: f"{pair.project}-{service}" for service in ("server", "client")}
    pair.compose("down", "--rmi=local")


@pytest.fixture(scope="session")
def new_pair(
    name: str,
    base_image: str,
    images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> NewPair:
    """Return what copies the project; it takes lines for .env."""
    numbers = count(1)

    def copy(**env: str) -> Pair:
        # Compose names a project after its folder, and builds an image that is there only if told.
        folder = tmp_path_factory.mktemp(f"{name}-{next(numbers)}", numbered=False)
        for service, image in images.items():
            docker("tag", image, f"{folder.name}-{service}")
        return Pair(folder, PYTHON_IMAGE=base_image, **env)

    return copy


@pytest.fixture(scope="session")
def on_host(name: str, images: dict[str, str]) -> OnHost:
    """Return what runs Python code as root among the processes of the host that has the daemon."""
    names = (f"{name}-host-{number}" for number in count(1))

    def run(code: str) -> None:
        options = ["--rm", "--pid=host", "--user=0", "--network=none", f"--name={next(names)}"]
        docker("run", *options, images["server"], "python3", "-c", f"import os, signal; {code}")

    return run
