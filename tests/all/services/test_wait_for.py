"""The Compose files in examples/ and the lines of README.md that other projects copy."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from docker import DockerClient
from docker.models.containers import Container
from testcontainers.compose import DockerCompose

from app import __version__
from tests.lib.containers import PATIENCE, Json, exit_code, logged
from tests.lib.services import SERVICES
from tests.lib.support import ROOT, until
from tools.dist import build_pyz

README = (ROOT / "README.md").read_text(encoding="utf-8")
REPOSITORY = f"https://github.com/OWNER/tcp-pair.git#v{__version__}"
# What the official image does with POSTGRES_PASSWORD.
WITH_PASSWORD = """
echo "ALTER USER postgres PASSWORD 'example'" |
    /usr/lib/postgresql/17/bin/postgres --single -D /etc/postgresql/17/main
"""
POSTGRESQL = SERVICES["postgresql"]
DATABASE = POSTGRESQL._replace(script=WITH_PASSWORD + POSTGRESQL.script)
OURS = SERVICES | {"database": DATABASE}
PATH = "/usr/lib/postgresql/17/bin:/usr/sbin:/usr/bin:/bin"


@pytest.fixture
def stack(
    file: str,
    waits: dict[str, str],
    base_image: str,
    services_image: str,
    run_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[DockerCompose]:
    """Describe the project of a Compose file, with services from our image."""
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", f"{run_name}-stack")
    monkeypatch.setenv("PYTHON_IMAGE", base_image)
    usual = {"image": services_image, "init": True, "environment": {"PATH": PATH}}
    services: Json = {"app": usual}
    for service in waits.values():
        services[service] = usual | {"user": OURS[service].user, "command": OURS[service].command}
    path = ROOT / file
    if path.suffix == ".md":  # build this folder, not the repository on the web
        (block,) = re.findall(r"^```yml\n(services:\n.*?)^```$", README, re.M | re.S)
        assert REPOSITORY in block
        path = tmp_path / "pasted.yml"
        path.write_text(block.replace(REPOSITORY, str(ROOT)))
        services["wait"] = {"build": {"args": {"PYTHON_IMAGE": base_image}}}
        services["app"] = usual | {"command": ["redis-cli", "-h", "redis", "PING"]}
    ours = tmp_path / "ours.yml"
    ours.write_text(json.dumps({"services": services, "networks": {"default": {"internal": True}}}))
    files = [str(path), str(ours)]
    compose = DockerCompose(tmp_path, compose_file_name=files, build=True, wait=False)
    yield compose
    compose.stop()


@pytest.mark.parametrize(
    ("file", "waits", "said"),
    [
        ("examples/wait-for.yml", {"wait": "database"}, "PostgreSQL 17"),
        (
            "examples/wait-for-two.yml",
            {"wait-for-mysql": "mysql", "wait-for-redis": "redis"},
            "PONG",
        ),
        ("README.md", {"wait": "redis"}, "PONG"),
    ],
)
def test_application_starts_after_its_services(
    waits: dict[str, str],
    said: str,
    stack: DockerCompose,
    docker_client: DockerClient,
    run_name: str,
) -> None:
    """Compose starts an application only when its services can be used."""

    def find(service: str) -> Container:
        filters = {"name": f"^/?{run_name}-stack-{service}-1$"}
        options = {"all": True, "ignore_removed": True}
        found = partial(docker_client.containers.list, filters=filters, **options)
        (container,) = until(found, PATIENCE, awaited=service)  # a build comes first
        return container

    with ThreadPoolExecutor() as pool:
        up = pool.submit(stack.start)  # ends when the application starts
        for wait, service in waits.items():
            logged(find(wait), OURS[service].not_yet)
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
    """The COPY line of README.md adds both programs to an image with Python."""
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
