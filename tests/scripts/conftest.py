"""A folder with what make needs, and a docker first on PATH whose answers each test chooses."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support import PATIENCE, ROOT

CONFIG = {
    "services": {
        "server": {
            "build": {"args": {"PYTHON_IMAGE": "python:3.14-slim"}},
            "networks": {"pair": {"ipv4_address": "198.18.0.2"}},
        },
        "client": {"networks": {"pair": {"ipv4_address": "198.18.0.3"}}},
    },
    "networks": {
        "pair": {
            "name": "x_pair",
            "ipam": {"config": [{"subnet": "198.18.0.0/29", "ip_range": "198.18.0.4/30"}]},
        }
    },
}
# A pair whose client waits for its server, and gets the reply; down ends what still runs.
HEALTHY = {
    "version *": "echo 28.5",
    "compose ps --all --quiet *": 'echo "container-of-$5"',
    "start --attach *client": """
        echo 'T INFO waiting for 198.18.0.2:8888'
        until [ -e server ] || [ -e down ]; do sleep 0.02; done
        [ -e down ] && exit 143
        echo 'SERVER OK - STATUS 200'""",
    "start --attach *server": """
        echo 'T INFO listening'; touch server
        until [ -e down ]; do sleep 0.02; done""",
    "compose down*": "touch down",
    "network ls *": "echo abc",
    "network inspect *": "echo '[]'",
}


class Project:
    """The folder, and its programs: a shell script for each, with one answer for each pattern."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.home = folder, folder / "bin", folder / "home"
        self.answers: dict[str, dict[str, str]] = {}
        self.bin.mkdir()
        self.home.mkdir()
        shutil.copy(ROOT / "Makefile", folder)
        for name in ("app", "deploy", "scripts"):
            (folder / name).symlink_to(ROOT / name)
        (folder / "docker-compose.yml").touch()
        self.env = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "TMPDIR": str(folder / "scratch"),
            "PYTHON": sys.executable,
        }
        (folder / "scratch").mkdir()
        self.configure("python:3.14-slim")
        self.answer("docker", HEALTHY)

    def configure(self, base_image: str) -> None:
        """Let Compose find this base image, unless .env has another."""
        text = json.dumps(CONFIG).replace("python:3.14-slim", "'$image'")
        self.config = f"""
            image=$(sed -n 's/^PYTHON_IMAGE=//p' .env 2>/dev/null | tail -n 1)
            image=${{image:-{base_image}}}
            echo '{text}'"""
        self.answer("docker", {"compose *config --format json": self.config})

    def answer(self, program: str, answers: dict[str, str]) -> None:
        """Let a program answer so, before the answers that it has already."""
        self.answers[program] = answers | {
            key: code for key, code in self.answers.get(program, {}).items() if key not in answers
        }
        cases = (
            f"{key.replace(' ', chr(92) + ' ')})\n{code};;\n"
            for key, code in self.answers[program].items()
        )
        calls = f'echo "${{0##*/}} $*" >>{self.folder}/calls'
        path = self.bin / program
        path.write_text(f'#!/usr/bin/env bash\n{calls}\ncase "$*" in\n{"".join(cases)}esac\n')
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """What the programs have been called with."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def processes(self) -> list[int]:
        """Find what runs of this test, whoever has started it; only Linux tells."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # gone meanwhile, or somebody else's
                if f"TMPDIR={self.env['TMPDIR']}".encode() in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found

    @contextmanager
    def start(self, *command: str, **env: str) -> Iterator["subprocess.Popen[str]"]:
        """Start a command in a process group of its own, as a shell does; end it in any case."""
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert process.stdout
            process.stdout.close()

    def run(self, *command: str, **env: str) -> tuple[int, list[str]]:
        """Run a command to its end; return its exit code, and the lines that it shows."""
        with self.start(*command, **env) as process:
            shown, _ = process.communicate(timeout=PATIENCE)
        assert "Traceback" not in shown, shown
        assert self.env["TMPDIR"] not in shown, shown
        return process.returncode, shown.splitlines()

    def call(
        self, main: str, *arguments: str, patch: str = "", **env: str
    ) -> tuple[int, list[str]]:
        """Run the main function of a script, after ``patch``, which may change a constant."""
        imports = "from scripts import clean, common, demo, docker, pair, ready, run, run_tests"
        code = f"{imports}\n{patch}\ncommon.end_with({main})"
        return self.run(sys.executable, "-c", code, *arguments, **env)


def shown(process: "subprocess.Popen[str]", text: str) -> None:
    """Read what is shown, up to a line with this text."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return
    raise AssertionError(f"no {text!r} in {lines}")


def ended(process: "subprocess.Popen[str]") -> list[str]:
    """Return the rest of what is shown, without what make says of it, once it has ended."""
    assert process.stdout
    rest = process.stdout.read()
    process.wait(PATIENCE)
    assert "Traceback" not in rest
    return [line for line in rest.splitlines() if not line.startswith("make: ")]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Make the folder; at the end, leave nothing of what was started there."""
    project = Project(tmp_path)
    yield project
    (tmp_path / "down").touch()  # which stands for containers that are gone
    for pid in project.processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
