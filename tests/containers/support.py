"""Docker as these tests use it: its command line, subnets nobody has, copies of the project.

What is made here has a name that begins with the run's, so that the sweeper finds it.
"""

import json
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

# docker has no type hints.
from docker.errors import APIError  # type: ignore[import-untyped]
from docker.types import EndpointConfig, IPAMConfig, IPAMPool  # type: ignore[import-untyped]
from testcontainers.compose import DockerCompose
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from tests import support
from tests.support import ROOT

Json = dict[str, Any]
T = TypeVar("T")

# Seconds that nothing here takes, even on a busy machine: reached only where a test fails.
PATIENCE = 30.0

API = "1.41"  # Docker Engine 20.10's

# What Docker says of a subnet that another network has.
TAKEN = "Pool overlaps"

# What a user of the project has of it, as far as Docker is concerned.
PROJECT = (
    ".dockerignore",
    ".env.example",
    "Dockerfile.client",
    "Dockerfile.server",
    "app",
    "docker-compose.yml",
)

# A client that says nothing gets no answer, and stays.
STAYING = {"MESSAGE": "", "REPLY_TIMEOUT": "600", "DEADLINE": "0"}


class DockerFailed(Exception):
    """A command of Docker's failed; the text is the command and what it said."""

    def __init__(self, arguments: Sequence[str], exit_code: int, stderr: str) -> None:
        super().__init__(f"docker {' '.join(arguments)}: {exit_code}, {stderr}")
        self.exit_code = exit_code


class Logs(NamedTuple):
    """What a container or a command has written."""

    stdout: str
    stderr: str


def docker(*arguments: str, cwd: Path | None = None) -> Logs:
    """Run docker to its end. Raises DockerFailed."""
    done = subprocess.run(
        ["docker", *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise DockerFailed(arguments, done.returncode, done.stderr)
    return Logs(done.stdout, done.stderr)


def inspect(name: str, *kind: str) -> Json:
    """Return all that Docker knows of a container, or of a thing of another kind."""
    (found,) = json.loads(docker(*kind, "inspect", name).stdout)
    known: Json = found
    return known


def state(container: str) -> Json:
    """Return what Docker knows of a container's process: Status, ExitCode, Pid and so on."""
    known: Json = inspect(container)["State"]
    return known


def logs(container: str) -> Logs:
    """Return what a container has written until now."""
    return docker("logs", container)


def result(client: str) -> Json:
    """Return the one JSON object that a client's stdout must consist of."""
    (line,) = logs(client).stdout.splitlines()
    found: Json = json.loads(line)
    return found


def execute(container: str, code: str) -> str:
    """Run Python code in a container, as its own user; return what it prints."""
    return docker("exec", container, "python3", "-c", code).stdout


def exit_code(container: str) -> int:
    """Wait until a container ends."""
    return int(docker("wait", container).stdout)


def until(condition: Callable[[], T]) -> T:
    """Wait until a condition holds, with the patience and the pauses that Docker needs."""
    return support.until(condition, PATIENCE, 0.05)


def logged(container: str, text: str) -> str:
    """Wait until a container has logged a line with this text, and return the line."""
    return until(lambda: next((x for x in logs(container).stderr.splitlines() if text in x), ""))


def moment(text: str) -> datetime:
    """Parse a time of Docker's, or the one that a line of our log begins with."""
    return datetime.fromisoformat(text.partition(" ")[0])


def subnets() -> Iterator[IPv4Network]:
    """Propose subnets for networks of ours, out of those for tests of network devices (RFC 2544).

    Whether one is free only Docker can tell, when the network is made: other runs look for one at
    the same time.
    """
    proposed = list(IPv4Network("198.18.0.0/15").subnets(new_prefix=26))
    random.shuffle(proposed)
    return iter(proposed)


def addresses(subnet: IPv4Network) -> dict[str, str]:
    """Return lines for .env that fit together."""
    return {
        "SUBNET": str(subnet),
        "IP_RANGE": str(list(subnet.subnets())[1]),
        "SERVER_HOST": str(subnet[10]),
        "CLIENT_HOST": str(subnet[20]),
    }


@contextmanager
def fixed_addresses(name: str) -> Iterator[tuple[Network, dict[str, str]]]:
    """Make a network like Compose's; it comes with the lines of .env for its addresses."""
    for subnet in subnets():
        settings = addresses(subnet)
        pool = IPAMPool(subnet=settings["SUBNET"], iprange=settings["IP_RANGE"])
        network = Network(
            docker_network_kw={
                "ipam": IPAMConfig(pool_configs=[pool]),
                "internal": True,
                "options": {"com.docker.network.bridge.inhibit_ipv4": "true"},
            }
        )
        network.name = name
        try:
            network.create()
        except APIError as error:
            if TAKEN not in str(error):
                raise
        else:
            break
    try:
        yield network, settings
    finally:
        network.remove()


def at(address: str, network: Network, image: str, name: str, **more: Any) -> DockerContainer:
    """Describe a container at a fixed address."""
    endpoint = EndpointConfig(API, ipv4_address=address)
    return (
        DockerContainer(image, name=name)
        .with_network(network)
        .with_kwargs(networking_config={network.name: endpoint}, **more)
    )


class Pair:
    """A copy of the project in a folder of its own, as a user has it, with a .env.

    As a context manager it has a network and both containers, and nothing runs yet; at the end
    all is gone, the images too.
    """

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.project = folder.name
        self.env = env
        for name in PROJECT:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)

    def __enter__(self) -> Self:
        try:
            self._create()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.compose("down", "--volumes", "--rmi=local", "--timeout=1")

    def _create(self) -> None:
        for subnet in subnets():
            self.write_env(**addresses(subnet))
            try:
                self.compose("up", "--no-start")
            except DockerFailed as failure:
                if TAKEN not in str(failure):
                    raise
            else:
                return

    def write_env(self, **env: str) -> None:
        """Write .env, with these lines too; the quotes keep each value as it is."""
        self.env |= env
        lines = [f"{name}='{value}'\n" for name, value in self.env.items()]
        (self.folder / ".env").write_text("".join(lines), encoding="utf-8")

    def override(self, service: str, **settings: Any) -> None:
        """Change settings of one service, in the file where Compose looks for that by itself."""
        text = json.dumps({"services": {service: settings}})
        (self.folder / "docker-compose.override.yml").write_text(text, encoding="utf-8")

    def compose(self, *arguments: str) -> Logs:
        """Run docker compose in the folder, as a user does. Raises DockerFailed."""
        return docker("compose", *arguments, cwd=self.folder)

    def run(self, *arguments: str) -> int:
        """Return the exit code of `docker compose up --exit-code-from client`."""
        try:
            self.compose("up", "--exit-code-from", "client", *arguments)
        except DockerFailed as failure:
            return failure.exit_code
        return 0

    def start(self, *services: str, wait: bool = False) -> None:
        """Start services in the background; with ``wait``, until they are healthy."""
        DockerCompose(self.folder, wait=wait, services=list(services)).start()

    def container(self, service: str) -> str:
        """Return the ID of a service's container."""
        return self.compose("ps", "--all", "--quiet", service).stdout.strip()

    @property
    def server(self) -> str:
        """The ID of the server's container."""
        return self.container("server")

    @property
    def client(self) -> str:
        """The ID of the client's container."""
        return self.container("client")


def what_is_there(pair: Pair) -> list[str]:
    """Name the containers and networks that Compose has labelled as this pair's."""
    label = f"--filter=label=com.docker.compose.project={pair.project}"
    containers = docker("ps", "--all", "--format={{.Names}}", label).stdout
    networks = docker("network", "ls", "--format={{.Name}}", label).stdout
    return [*containers.split(), *networks.split()]


NewPair = Callable[..., Pair]
OnHost = Callable[[str], object]
