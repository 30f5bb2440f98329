"""A Docker Swarm on one machine: each host is a daemon in its own namespaces, joined by a bridge.

All processes are below the first one of a PID namespace, which ends with the tests. The kernel then
ends them and removes network namespaces, links, bridge, iptables rules and mounts. Only the base
image is copied from the machine's own daemon.
"""

import json
import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from docker import DockerClient
from docker.errors import DockerException

from tests.lib.containers import PATIENCE, PROJECT, copy_project, report
from tests.lib.support import ROOT, until

OVERLAY = ("compose", "--file", "docker-compose.yml", "--file", "deploy/overlay.yml")
# By names of our own, as from a registry.
IMAGES = {"SERVER_IMAGE": "own/server:1", "CLIENT_IMAGE": "own/client:1"}

# RFC 2544 keeps 198.18.0.0/15 for tests.
WIRE = "198.18.0."
SETTINGS = IMAGES | {
    "SUBNET": "198.18.15.0/24",
    "IP_RANGE": "198.18.15.128/25",
    "SERVER_HOST": "198.18.15.10",
    "CLIENT_HOST": "198.18.15.20",
    "RETRY_DELAY": "0.5",
    "CONNECT_TIMEOUT": "2",
    "REPLY_TIMEOUT": "1",
}

# What the kernel does not take away are files and the empty control groups of the containers.
_KEEPER = """
mkdir -m 700 "$1"
unshare --net --pid --fork --kill-child sh -c "$2"
find /sys/fs/cgroup -depth -type d -path "*/${1##*/}*" -exec rmdir {} +
rm -rf "$1"
"""
# It ends with its stdin. Its PID is the one outside: /proc is still the machine's.
_WIRE = """
read -r pid rest </proc/self/stat
ip link add wire type bridge
ip link set wire up
echo "$pid"
cat >/dev/null
exit
"""
# With a /run of its own, where containerd and the locks of iptables are.
_HOST = """
read -r pid rest </proc/self/stat
hostname "$1"
ip link set lo up
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
echo "$pid"
dockerd --config-file "$2/daemon.json" >&2 &
wait
"""


def succeed(*command: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command that must not fail, with little of our environment."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=PATIENCE,
    )
    assert not done.returncode, f"{command}: {done.stdout}{done.stderr}"
    return done


def environment(**env: str) -> dict[str, str]:
    """Keep what finds programs; Compose would prefer other variables to those in .env."""
    kept = {"PATH", "HOME", "DOCKER_CONFIG"} & os.environ.keys()
    return {name: os.environ[name] for name in kept} | env


class Host:
    """A Docker daemon in namespaces of its own, with one link to the bridge, and a project."""

    def __init__(self, wire: str, number: int, folder: Path) -> None:
        self.name = f"host{number}"
        self.address = f"{WIRE}{number}"
        self.project = folder / "tcp-pair"
        self.daemon = f"unix://{folder}/docker.sock"
        self._log = folder / "log"
        folder.mkdir()
        settings = {
            "data-root": f"{folder}/data",
            "hosts": [self.daemon],
            "bip": "198.18.1.1/24",
            "default-address-pools": [{"base": "198.18.2.0/23", "size": 26}],
            "cgroup-parent": f"/{folder.parent.name}/{self.name}",
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
        }
        (folder / "daemon.json").write_text(json.dumps(settings))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *("nsenter", f"--target={wire}", "--pid"),
                    *("unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child"),
                    *("sh", "-c", _HOST, "host", self.name, str(folder)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdout
        with self._process.stdout as stdout:
            pid = stdout.readline()
        assert pid, self._log.read_text()
        self._pid = int(pid)
        self._inside = ("nsenter", f"--target={self._pid}", "--net")
        link = f"ip link add port{number} type veth peer name eth0 netns {self._pid}"
        link += f" && ip link set port{number} master wire up"
        succeed("nsenter", f"--target={wire}", "--net", "sh", "-c", link)
        address = f"ip address add {self.address}/24 dev eth0 && ip link set eth0 up"
        succeed(*self._inside, "sh", "-c", address)

    def answers(self) -> bool:
        """Tell whether the daemon answers."""
        assert self._process.poll() is None, self._log.read_text()
        command = ["docker", f"--host={self.daemon}", "version"]
        return not subprocess.run(command, capture_output=True, check=False).returncode

    def report(self) -> str:
        """Return the end of the daemon's log, and state and log of its containers."""
        said = ""
        with suppress(DockerException, OSError):  # at the end all of it is gone
            said += self._log.read_text()[-2000:]
            with closing(DockerClient(self.daemon)) as client:
                said += report(client, "")
        return said

    def docker(self, *arguments: str) -> str:
        """Return what docker prints on this host."""
        return self._docker(*arguments).stdout

    def log(self, container: str) -> str:
        """Return what a container has written to stderr."""
        return self._docker("logs", container).stderr

    def _docker(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return succeed("docker", *arguments, cwd=self.project, DOCKER_HOST=self.daemon)

    def configure(self, **settings: str) -> None:
        """Write .env."""
        lines = (f"{name}='{value}'\n" for name, value in {**SETTINGS, **settings}.items())
        (self.project / ".env").write_text("".join(lines))

    @contextmanager
    def narrow(self, chain: str) -> Iterator[None]:
        """Lose overlay packets above 1,400 bytes that arrive (INPUT) or leave (OUTPUT).

        This is a wire with a smaller MTU than the hosts'. Swarm's own TCP would learn it by ICMP,
        so only VXLAN is dropped.
        """
        large = ("-p", "udp", "--dport", "4789", "-m", "length", "--length", "1401:")
        rule = (chain, *large, "-j", "DROP")
        succeed(*self._inside, "iptables", "--wait", "--insert", *rule)
        try:
            yield
        finally:
            succeed(*self._inside, "iptables", "--wait", "--delete", *rule)

    def lose(self) -> None:
        """Kill the host, as a power failure does."""
        os.kill(self._pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> None:
        """Wait until the host's processes have ended."""
        self._process.wait(PATIENCE)


@contextmanager
def swarm(base_image: str) -> Iterator[list[Host]]:
    """Make a swarm of three hosts that have the images of the pair; the last one is a worker.

    The first two are managers, where older versions of Compose find networks.
    """
    folder = Path(tempfile.gettempdir(), f"tcp-pair-cluster-{secrets.token_hex(4)}")
    # Out of reach of Ctrl-C.
    with subprocess.Popen(
        ["sh", "-c", _KEEPER, "keeper", str(folder), _WIRE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as keeper:
        assert keeper.stdin
        assert keeper.stdout
        wire = keeper.stdout.readline().decode().strip()
        hosts: list[Host] = []
        try:
            hosts.extend(Host(wire, number, folder / f"host{number}") for number in (1, 2, 3))
            for host in hosts:
                host.project.mkdir()
                copy_project(host.project, f"{PROJECT} Makefile deploy scripts")
                until(host.answers, PATIENCE, 0.1, awaited=f"{host.name} to answer")
            join(hosts)
            bring_images(hosts, folder, base_image)
            yield hosts
        finally:
            keeper.stdin.close()
            for host in hosts:
                host.wait()


def join(hosts: list[Host]) -> None:
    """Make a swarm of the hosts."""
    first, second, last = hosts
    # A node counts as down when it has been silent for three times as long; by default 5 s. After
    # five seconds the hosts also forget who has which address, and learn it anew only every 30.
    options = ("--dispatcher-heartbeat=1s", "--default-addr-pool=198.19.0.0/16")
    first.docker("swarm", "init", f"--advertise-addr={first.address}", *options)
    for host, role in ((second, "manager"), (last, "worker")):
        token = first.docker("swarm", "join-token", "--quiet", role).strip()
        host.docker("swarm", "join", f"--token={token}", f"{first.address}:2377")


def bring_images(hosts: list[Host], folder: Path, base_image: str) -> None:
    """Build both images on the first host, and load them into the others."""
    succeed("docker", "save", f"--output={folder}/base.tar", base_image)
    hosts[0].docker("load", f"--input={folder}/base.tar")
    for host in hosts:
        host.configure(PYTHON_IMAGE=base_image)
    hosts[0].docker(*OVERLAY, "build")
    hosts[0].docker("save", f"--output={folder}/images.tar", *IMAGES.values())
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda host: host.docker("load", f"--input={folder}/images.tar"), hosts[1:]))
