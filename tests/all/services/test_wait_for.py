"""What others copy, as it stands: the Compose files of examples, and README.md's own lines."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from docker import DockerClient
from docker.models.containers import Container
from testcontainers.compose import DockerCompose

from app import __version__
from tests.lib.containers import PATIENCE, Json, exit_code, logged
from tests.lib.services import SERVICES
from tests.lib.support import ROOT, until
from tools.dist import build_pyz

Find = Callable[[str], Container]

README = (ROOT / "README.md").read_text(encoding="utf-8")
REPOSITORY = "https://github.com/OWNER/tcp-pair.git"
# What the official image does with POSTGRES_PASSWORD.
DATABASE = SERVICES["postgresql"]._replace(
    script="""
echo "ALTER USER postgres PASSWORD 'example'" |
    /usr/lib/postgresql/17/bin/postgres --single -D /etc/postgresql/17/main
"""
    + SERVICES["postgresql"].script
)


@pytest.fixture
def database(services_image: str) -> tuple[Path, Json]:
    """Return the example, and what turns its database into one that takes its time to start."""
    path = {"image": services_image, "environment": {"PATH": "/usr/lib/postgresql/17/bin:/bin"}}
    services = {"database": {"user": DATABASE.user, "command": DATABASE.command}, "app": {}}
    return ROOT / "examples" / "wait-for.yml", {name: path | services[name] for name in services}


@pytest.fixture
def two(services_image: str) -> tuple[Path, Json]:
    """Return the example of two services, and what makes them of the image of services."""
    image = {"image": services_image, "init": True}
    services = {name: image | {"command": SERVICES[name].command} for name in ("mysql", "redis")}
    return ROOT / "examples" / "wait-for-two.yml", services | {"app": image}


@pytest.fixture
def redis(
    base_image: str, images: dict[str, str], services_image: str, tmp_path: Path
) -> tuple[Path, Json]:
    """Return the lines of README.md, and what they leave to the reader: a Redis, and a user of it.

    They build what is here, and not what the repository has under this version.
    """
    (block,) = re.findall(r"^```yml\n(services:\n.*?)^```$", README, re.M | re.S)
    before, repository, after = block.partition(f"{REPOSITORY}#v{__version__}")
    assert repository
    file = tmp_path / "pasted.yml"
    file.write_text(before + str(ROOT) + after)
    env = yaml.safe_load(block)["services"]["wait"]["environment"]
    return file, {
        "redis": {"image": services_image, "init": True, "command": SERVICES["redis"].command},
        "wait": {"build": {"args": {"PYTHON_IMAGE": base_image}}},
        "app": {"image": images["client"], "environment": env | {"WRONG_REPLY": "fail"}},
    }


@pytest.fixture
def stack(
    request: pytest.FixtureRequest,
    file: str,
    run_name: str,
    base_image: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[DockerCompose]:
    """Describe the project of a Compose file, whose fixture has this name."""
    # First, because the variables would change what it builds.
    path, services = request.getfixturevalue(file)
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", f"{run_name}-stack")
    monkeypatch.setenv("PYTHON_IMAGE", base_image)
    ours = tmp_path / "ours.yml"
    ours.write_text(json.dumps({"services": services, "networks": {"default": {"internal": True}}}))
    files = [str(path), str(ours)]
    compose = DockerCompose(tmp_path, compose_file_name=files, build=True, wait=False)
    yield compose
    compose.stop()


@pytest.fixture
def find(docker_client: DockerClient, run_name: str) -> Find:
    """Return a function that finds the container of a service once it exists."""

    def find(service: str) -> Container:
        options = {"all": True, "ignore_removed": True}
        name = f"^/?{run_name}-stack-{service}-1$"
        (found,) = until(
            lambda: docker_client.containers.list(filters={"name": name}, **options),
            PATIENCE,  # a build comes first
            awaited=service,
        )
        return found

    return find


@pytest.mark.parametrize(
    ("file", "waits", "said"),
    [
        ("database", {"wait": "database"}, "PostgreSQL 17"),
        ("two", {"wait-for-mysql": "mysql", "wait-for-redis": "redis"}, "PONG"),
        ("redis", {"wait": "redis"}, r"+PONG\r\n"),
    ],
)
def test_application_starts_after_its_services(
    waits: dict[str, str], said: str, stack: DockerCompose, find: Find
) -> None:
    """Compose starts an application once its services can be used, and it works then."""
    with ThreadPoolExecutor() as pool:
        up = pool.submit(stack.start)  # which ends with the start of the application
        for wait, service in waits.items():
            not_yet = (SERVICES | {"database": DATABASE})[service].not_yet
            logged(find(wait), not_yet)
            assert find("app").status == "created"
            find(service).exec_run(["touch", "/tmp/go"])
        up.result()

    app = find("app")
    assert exit_code(app) == 0
    assert said in app.logs(stderr=False).decode()
    started = datetime.fromisoformat(app.attrs["State"]["StartedAt"])
    for wait in waits:
        assert datetime.fromisoformat(find(wait).attrs["State"]["FinishedAt"]) < started


def test_one_file_runs_in_an_image(
    docker_client: DockerClient, run_name: str, base_image: str, tmp_path: Path
) -> None:
    """The line of README.md is all that an image with Python needs to run both programs."""
    build_pyz(tmp_path / "tcp-pair.pyz")
    (copy,) = re.findall("`(COPY .*?)`", README)
    (tmp_path / "Dockerfile").write_text(f"FROM {base_image}\n{copy}\n")
    name = f"{run_name}-pyz"
    docker_client.images.build(path=str(tmp_path), tag=name, rm=True)
    env = {"HOST": "127.0.0.1", "SERVER_HOST": "127.0.0.1"}
    both = ["sh", "-c", "python3 tcp-pair.pyz server & python3 tcp-pair.pyz client"]
    options = {"environment": env, "network_mode": "none", "remove": True}
    said = docker_client.containers.run(name, both, **options)
    assert said == b"SERVER OK - STATUS 200\n"
