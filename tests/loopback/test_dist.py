"""The .pyz file and the wheel that `make dist` builds for other projects."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from app import __version__
from tests.lib.containers import copy_project
from tests.lib.programs import Server, client_environment
from tests.lib.support import ROOT
from tools import dist

pytestmark = [pytest.mark.xdist_group("dist"), pytest.mark.slow]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run `make dist` in a copy of the project; return the folder that it fills."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder, "Makefile README.md LICENSE pyproject.toml app requirements scripts tools")
    # The tests' environment has the build tools; the Python of make itself has none.
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "scripts/venv.sh").write_text("#!/bin/sh\n")
    env = os.environ | {"PYTHON": f"{sys.base_prefix}/bin/python3"}
    subprocess.run(["make", "--silent", "dist"], cwd=folder, env=env, check=True)
    return folder / "dist"


@pytest.fixture(scope="module", params=["pyz", "wheel"])
def command(
    request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """Return the command that runs the .pyz, or the wheel in a virtual environment of its own."""
    if request.param == "pyz":
        assert (built / "tcp-pair.pyz").stat().st_size < 60_000
        return [sys.executable, str(built / "tcp-pair.pyz")]
    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = built.glob("*.whl")
    venv.create(folder / "venv")
    site = next((folder / "venv").glob("lib/python*/site-packages"))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv"), "install", "--no-index"]
    subprocess.run([*pip, "--quiet", "--disable-pip-version-check", str(wheel)], check=True)
    assert {path.name.partition("-")[0] for path in site.iterdir()} == {"tcp_pair"}
    return [str(folder / "venv" / "bin" / "tcp-pair")]


def test_file_and_wheel_run_all_three_programs(command: list[str], tmp_path: Path) -> None:
    """The .pyz and the wheel pass on each program's exit code, and name the command in `--help`."""

    def ends(*arguments: str, **env: str) -> tuple[int, str]:
        variables = client_environment(server.address, **env) | {"HOST": host, "PORT": str(port)}
        options: dict[str, Any] = {"cwd": tmp_path, "env": variables, "capture_output": True}
        done = subprocess.run([*command, *arguments], text=True, check=False, **options)
        return done.returncode, done.stdout

    with Server() as server:
        host, port = server.address
        assert ends("client") == (0, "SERVER OK - STATUS 200\n")
        assert ends("client", REPLY="another") == (76, "")
        assert ends("healthcheck") == (0, "")
    assert ends("client", "now") == ends("clients") == ends() == (64, "")
    assert ends("client", "--version") == ends("--version") == (0, f"tcp-pair {__version__}\n")
    name = "tcp-pair" if len(command) == 1 else "python3 tcp-pair.pyz"
    assert ends("server", "--help")[1].startswith(f"usage: {name} server ")


def test_same_sources_make_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File modes, times, order and the time zone of a clone change no byte of the .pyz."""
    monkeypatch.setattr(dist, "APP", tmp_path / "app")
    files = set()
    for mode, time, zone in ((0o644, 2e9, "UTC0"), (0o664, 1e9, "X-9"), (0o600, 1.5e9, "X3")):
        shutil.rmtree(tmp_path / "app", ignore_errors=True)
        (tmp_path / "app").mkdir()
        for path in sorted((ROOT / "app").glob("*.py"), reverse=mode == 0o664):
            copy = tmp_path / "app" / path.name
            copy.write_bytes(path.read_bytes())
            copy.chmod(mode)
            os.utime(copy, (time, time))
        monkeypatch.setenv("TZ", zone)
        dist.build_pyz(tmp_path / "tcp-pair.pyz")
        files.add((tmp_path / "tcp-pair.pyz").read_bytes())

    assert len(files) == 1
    names = ZipFile(tmp_path / "tcp-pair.pyz").namelist()
    assert names == sorted(names)
    assert (tmp_path / "tcp-pair.pyz").stat().st_mode & 0o777 == 0o755
