"""A Docker Swarm on one machine: a daemon for each host, in namespaces joined by a bridge."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from docker import DockerClient
from docker.errors import DockerException

from scripts import docker
from scripts.common import Problem
from tests.lib import wire
from tests.lib.containers import PATIENCE, PROJECT, copy_project, report
from tests.lib.support import until

OVERLAY = ("compose", "--file", "docker-compose.yml", "--file", "deploy/overlay.yml")
# RFC 2544 keeps 198.18.0.0/15 for tests.
SETTINGS = {
    "SUBNET": "198.18.15.0/24",
    "IP_RANGE": "198.18.15.128/25",
    "SERVER_HOST": "198.18.15.10",
    "CLIENT_HOST": "198.18.15.20",
    "RETRY_DELAY": "0.5",
    "CONNECT_TIMEOUT": "2",
    "REPLY_TIMEOUT": "1",
}
# Each host has its own /run, for containerd, the locks of iptables and all images.
_DAEMON = """
hostname {0}
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
dockerd --config-file {1}/daemon.json --log-level=error >&2 &
"""


class Host(wire.Host):
    """A Docker daemon in namespaces of its own, and a copy of the project, with .env."""

    client: DockerClient

    def __init__(self, name: str, folder: Path, group: str, settings: dict[str, str]) -> None:
        self.name, self.project = name, folder / "tcp-pair"
        self._daemon, self._settings = f"unix://{folder}/docker.sock", settings
        self.project.mkdir(parents=True)
        copy_project(self.project, f"{PROJECT} Makefile deploy scripts")
        self.configure()
        config = {
            "data-root": "/run/data",
            "hosts": [self._daemon],
            "bip": "198.18.1.1/24",
            "default-address-pools": [{"base": "198.18.2.0/23", "size": 26}],
            "cgroup-parent": f"/{group}/{name}",
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
        }
        (folder / "daemon.json").write_text(json.dumps(config))
        spaces = ("--uts", "--mount", "--pid", "--fork", "--kill-child")
        super().__init__(*spaces, setup=_DAEMON.format(name, folder))

    def answers(self) -> bool:
        """Connect to the daemon if it answers, and tell whether it does."""
        with suppress(Problem):
            self.docker("version")  # because docker-py leaves a socket open if nobody answers
            self.client = DockerClient(self._daemon)
            return True
        return False

    def environment(self, **env: str) -> dict[str, str]:
        """Return variables for a command, without those that Compose would prefer to .env."""
        kept = {name: os.environ[name] for name in os.environ.keys() - self._settings.keys()}
        return kept | {"DOCKER_HOST": self._daemon} | env

    def docker(self, *arguments: str) -> str:
        """Return what docker prints on this host."""
        return docker.output(*arguments, cwd=self.project, env=self.environment())

    def configure(self, **settings: str) -> None:
        """Write .env, with these settings in place of the usual ones."""
        lines = (f"{name}='{value}'\n" for name, value in {**self._settings, **settings}.items())
        (self.project / ".env").write_text("".join(lines))

    def report(self) -> str:
        """Return the state and the log of the host's containers."""
        with suppress(DockerException, OSError):  # at the end the host is gone
            return report(self.client, "")
        return ""

    def lose(self) -> None:
        """Kill the host, as a power failure does."""
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)


@contextmanager
def swarm(folder: Path, name: str, images: dict[str, str]) -> Iterator[list[Host]]:
    """Make a swarm of three hosts that have the pair's images; the last host is a worker.

    The first two hosts are managers, because older versions of Compose need a manager.
    """
    settings = SETTINGS | {f"{service.upper()}_IMAGE": name for service, name in images.items()}
    # The kernel does not remove the empty control groups of the containers.
    groups = ["find", "/sys/fs/cgroup", "-depth", "-type", "d", "-path", f"*/{name}*"]
    with ExitStack() as stack:
        stack.callback(subprocess.run, [*groups, "-exec", "rmdir", "{}", "+"], check=True)
        bridge = wire.Host(setup="ip link add wire type bridge\nip link set wire up")
        stack.enter_context(bridge)
        hosts = [Host(f"host{n}", folder / f"host{n}", name, settings) for n in (1, 2, 3)]
        for number, host in enumerate(hosts, start=1):
            stack.enter_context(host)
            link = f"ip link add port{number} type veth peer name eth0 netns {host.pid}"
            bridge.run(f"{link}\nip link set port{number} master wire up")
            host.run(f"ip address add 198.18.0.{number}/24 dev eth0\nip link set eth0 up")
        for host in hosts:
            until(host.answers, PATIENCE, 0.1, awaited=f"{host.name} to answer")
            stack.callback(host.client.close)
        join(hosts)
        saved = folder / "images.tar"
        docker.output("save", f"--output={saved}", *images.values())
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda host: host.docker("load", f"--input={saved}"), hosts))
        saved.unlink()
        yield hosts


def join(hosts: list[Host]) -> None:
    """Make a swarm of the hosts."""
    first, second, last = hosts
    # A node counts as down after the silence of three heartbeats, by default 5 s each. After five
    # seconds the hosts also forget each other's addresses, and learn them only every 30 s.
    options = ("--dispatcher-heartbeat=1s", "--default-addr-pool=198.19.0.0/16")
    first.docker("swarm", "init", "--advertise-addr=198.18.0.1", *options)
    for host, role in ((second, "manager"), (last, "worker")):
        token = first.docker("swarm", "join-token", "--quiet", role).strip()
        host.docker("swarm", "join", f"--token={token}", "198.18.0.1:2377")
