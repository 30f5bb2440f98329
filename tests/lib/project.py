"""A folder with what make needs, and stubs of programs on PATH, whose output a test sets."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.lib.support import PATIENCE, ROOT


def at(address: str) -> dict[str, object]:
    """Return a service at an address, as Compose shows it."""
    return {"networks": {"pair": {"ipv4_address": address}}}


POOL = {"subnet": "198.18.0.0/29", "ip_range": "198.18.0.4/30"}
CONFIG = {
    "name": "x",
    "services": {
        # The shell inserts the image.
        "server": at("198.18.0.2") | {"build": {"args": {"PYTHON_IMAGE": "'$image'"}}},
        "client": at("198.18.0.3"),
    },
    "networks": {"pair": {"name": "x_pair", "ipam": {"config": [POOL]}}},
}
# A pair whose client waits for its server and gets the reply; `down` ends both.
HEALTHY = {
    "compose *config --format json": f"""
        image=$(sed -n 's/^PYTHON_IMAGE=//p' .env 2>/dev/null | tail -n 1)
        image=${{image:-python:3.14-slim}}
        echo '{json.dumps(CONFIG)}'""",
    "version *": "echo 28.5",
    "compose ps --all --quiet *": 'echo "container-of-$5"',
    "start --attach *client": """
        echo 'T INFO waiting for 198.18.0.2:8888'
        until [ -e server ] || [ -e down ]; do sleep 0.02; done
        [ -e down ] && exit 143
        echo 'SERVER OK - STATUS 200'""",
    "start --attach *server": r"""
        printf 'T INFO listening \377\n'; touch server
        until [ -e down ]; do sleep 0.02; done""",
    "compose up *": "rm -f down",
    "compose down*": "touch down",
    "network ls *": "echo abc",
    "network inspect *": "echo '[]'",
    "import *": "touch ours",
    "image inspect tcp-pair-base:trixie": "[ -e ours ]",
}
# A Debian host with two package sources; the first is no mirror of Debian.
APT = {
    "--print-uris update": """
        echo "'http://one.example/dists/forky/InRelease' a 0"
        echo "'http://two.example/debian/dists/forky/main/Packages.xz' b 0" """,
    "-c * update *": """
        grep -q two.example/debian "${2%/*}/sources.list" && exit
        echo "E: no Release file in ${2%/*}/lists"; exit 100""",
    "-c * download *": 'touch "$4_1.deb"',
}
# The package of Compose contains the commands in PLUGIN.
DPKG = {
    "-x *": """
        folder=$3/usr/libexec/docker/cli-plugins; mkdir -p "$folder"
        printf '#!/bin/sh\n%s\n' "$PLUGIN" >"$folder/docker-compose"
        chmod +x "$folder/docker-compose" """
}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
on_debian = pytest.mark.skipif(not KEYRING.exists(), reason="only Debian's keyring trusts Debian")


class Project:
    """The folder and its stubs, which are shell scripts with an answer for each pattern."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.home = folder, folder / "bin", folder / "home"
        self.cases: dict[str, str] = {}
        self.started: list[subprocess.Popen[str]] = []
        for name in ("bin", "home", "scratch"):
            (folder / name).mkdir()
        shutil.copy(ROOT / "Makefile", folder)
        for name in ("app", "scripts", "tools"):
            (folder / name).symlink_to(ROOT / name)
        (folder / "docker-compose.yml").touch()
        (folder / "calls").touch()
        self.env = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "TMPDIR": str(folder / "scratch"),
            "PYTHON": sys.executable,
            "PYTEST_XDIST_AUTO_NUM_WORKERS": "1",
        }
        self.answer("docker", HEALTHY)
        self.answer("apt-get", APT)
        self.answer("dpkg", DPKG)
        self.answer("mmdebstrap", {"*": "echo made >${@: -2:1}"})

    def answer(self, program: str, answers: dict[str, str]) -> None:
        """Add answers to the stub of a program; they precede its earlier answers."""
        new = ""
        for pattern, code in answers.items():
            new += pattern.replace(" ", r"\ ") + f")\n{code};;\n"
        self.cases[program] = new + self.cases.get(program, "")
        calls = f'echo "${{0##*/}} $*" >>{self.folder}/calls'
        path = self.bin / program
        path.write_text(f'#!/usr/bin/env bash\n{calls}\ncase "$*" in\n{self.cases[program]}esac\n')
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """The command lines of the stubs, in the order of the calls."""
        return (self.folder / "calls").read_text().splitlines()

    def processes(self) -> list[psutil.Process]:
        """Find all processes of this test by their TMPDIR."""
        found = psutil.process_iter(["environ"])
        mine = self.env["TMPDIR"]
        return [one for one in found if (one.info["environ"] or {}).get("TMPDIR") == mine]

    def start(self, *command: str, **env: str) -> "subprocess.Popen[str]":
        """Start a command in a process group of its own, as a shell does."""
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
        self.started.append(process)
        return process

    def ended(self, process: "subprocess.Popen[str]") -> list[str]:
        """Wait until a process ends; return the rest of its output, without make's own lines."""
        assert process.stdout
        rest = process.stdout.read()
        process.wait(PATIENCE)
        assert "Traceback" not in rest
        assert self.env["TMPDIR"] not in rest
        return [line for line in rest.splitlines() if not line.startswith("make: ")]

    def run(self, *command: str, **env: str) -> tuple[int, list[str]]:
        """Run a command to its end; return its exit code and the lines of its output."""
        process = self.start(*command, **env)
        lines = self.ended(process)
        return process.returncode, lines

    def call(self, module: str, *, patch: str = "", **env: str) -> tuple[int, list[str]]:
        """Run a module of scripts after ``patch``, which may change a constant."""
        imports = "from scripts import common, demo, docker, pair, ready, run"
        code = f"{imports}\n{patch}\ncommon.end_with({module}.main)"
        return self.run(sys.executable, "-c", code, **env)


def shown(process: "subprocess.Popen[str]", text: str) -> None:
    """Read the output, up to a line with this text."""
    assert process.stdout
    assert any(text in line for line in process.stdout), f"ended without {text!r}"
