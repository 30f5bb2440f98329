"""What `make dist` builds for other projects, in a folder that has nothing else."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from app import __version__
from scripts.dist import build_pyz, build_wheel
from tests.peers import Address, refused
from tests.programs import Server, client_environment

Command = list[str]


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Build the one file; return the command that runs it."""
    target = tmp_path_factory.mktemp("pyz") / "tcp-pair.pyz"
    build_pyz(target)
    assert target.stat().st_size < 60_000
    return [sys.executable, str(target)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Install the wheel into an empty virtual environment; return the command that it brings."""
    folder = tmp_path_factory.mktemp("wheel")
    build_wheel(folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv")
    site = next((folder / "venv").glob("lib/python*/site-packages"))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv"), "install", "--no-index"]
    subprocess.run([*pip, "--quiet", "--disable-pip-version-check", str(wheel)], check=True)
    assert {path.name.partition("-")[0] for path in site.iterdir()} == {"tcp_pair"}
    return [str(folder / "venv" / "bin" / "tcp-pair")]


@pytest.fixture(params=["pyz", pytest.param("installed", marks=pytest.mark.slow)])
def command(request: pytest.FixtureRequest) -> Command:
    """Return the command of the one file, or of the wheel."""
    found: Command = request.getfixturevalue(request.param)
    return found


def run(
    command: Command, folder: Path, *arguments: str, address: Address = ("127.0.0.1", 1), **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of ours to its end, in a folder that is empty."""
    variables = client_environment(address, **env)
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_exit_codes_are_those_of_the_client(command: Command, tmp_path: Path) -> None:
    """A reply is 0, nobody there 69, another reply 76, a bad value 78, another argument 64."""
    with Server() as server:
        done = run(command, tmp_path, "client", address=server.address)
        assert (done.returncode, done.stdout) == (0, "SERVER OK - STATUS 200\n")
        wrong = run(command, tmp_path, "client", address=server.address, REPLY="another")
        assert wrong.returncode == 76
    with refused() as address:
        assert run(command, tmp_path, "client", address=address, DEADLINE="0.1").returncode == 69
    assert run(command, tmp_path, "client", DEADLINE="soon").returncode == 78
    for arguments in [("client", "now"), ("clients",), ()]:
        assert run(command, tmp_path, *arguments).returncode == 64


def test_all_three_programs_are_there(command: Command, tmp_path: Path) -> None:
    """Help says how each was called, and each knows its version."""
    name = "tcp-pair" if len(command) == 1 else "python3 tcp-pair.pyz"
    for program in ("client", "server", "healthcheck"):
        assert run(command, tmp_path, program, "--help").stdout.startswith(
            f"usage: {name} {program} "
        )
        assert run(command, tmp_path, program, "--version").stdout == f"tcp-pair {__version__}\n"
    assert run(command, tmp_path, "--version").stdout == f"tcp-pair {__version__}\n"
    with Server() as server:
        host, port = server.address
        done = run(command, tmp_path, "healthcheck", HOST=host, PORT=str(port))
        assert done.returncode == 0
