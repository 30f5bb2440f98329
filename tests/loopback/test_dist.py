"""What `make dist` builds for other projects, in a folder that has nothing else."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from app import __version__
from scripts import dist
from scripts.dist import build_pyz, build_wheel
from tests.lib.programs import Server, client_environment
from tests.lib.support import ROOT

pytestmark = pytest.mark.xdist_group("dist")

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


def test_what_it_runs(command: Command, tmp_path: Path) -> None:
    """All three programs are there, each ends with its own exit code, and help says its name."""

    def ends(*arguments: str, **env: str) -> tuple[int, str]:
        variables = client_environment(server.address, **env) | {"HOST": host, "PORT": str(port)}
        done = subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    with Server() as server:
        host, port = server.address
        assert ends("client") == (0, "SERVER OK - STATUS 200\n")
        assert ends("client", REPLY="another") == (76, "")
        assert ends("healthcheck") == (0, "")
    assert ends("client", "now") == ends("clients") == ends() == (64, "")
    assert ends("client", "--version") == ends("--version") == (0, f"tcp-pair {__version__}\n")
    name = "tcp-pair" if len(command) == 1 else "python3 tcp-pair.pyz"
    exit_code, usage = ends("server", "--help")
    assert exit_code == 0
    assert usage.startswith(f"usage: {name} server ")


def test_the_same_sources_make_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Modes, times, order and time zone of a clone change no byte of the one file."""
    monkeypatch.setattr(dist, "ROOT", tmp_path)
    monkeypatch.setattr(dist, "DIST", tmp_path / "dist")
    monkeypatch.setattr(dist, "build_wheel", lambda folder: (folder / "x.whl").touch())
    sums = set()
    for mode, time, zone in ((0o644, 2e9, "UTC0"), (0o664, 1e9, "X-9"), (0o600, 1.5e9, "X3")):
        shutil.rmtree(tmp_path / "app", ignore_errors=True)
        (tmp_path / "app").mkdir()
        for path in sorted((ROOT / "app").glob("*.py"), reverse=mode == 0o664):
            copy = tmp_path / "app" / path.name
            copy.write_bytes(path.read_bytes())
            copy.chmod(mode)
            os.utime(copy, (time, time))
        monkeypatch.setenv("TZ", zone)
        dist.main()
        sums.add(capsys.readouterr().out.split()[0])

    assert len(sums) == 1
    names = ZipFile(tmp_path / "dist/tcp-pair.pyz").namelist()
    assert names == sorted(names)
    assert (tmp_path / "dist/tcp-pair.pyz").stat().st_mode & 0o777 == 0o755
