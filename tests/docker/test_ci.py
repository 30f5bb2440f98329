"""The steps that README.md gives for a CI job, run as they stand there."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from tests.lib.containers import Logs, NewPair, Pair
from tests.lib.support import ROOT

(BLOCK,) = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
STEPS: list[dict[str, str]] = yaml.safe_load(BLOCK)

# Seconds after which a step counts as one that never ends; a build is the longest.
ENDLESS = 100.0

# Without a server the client has given up after about a second.
IN_VAIN = {"CONNECT_TIMEOUT": "0.3", "RETRY_DELAY": "0.3", "DEADLINE": "1"}


@contextmanager
def clone(pair: Pair) -> Iterator[Pair]:
    """Have nothing but a network for the pair, in a clone that only its owner may read."""
    for path in (pair.folder / "app", *(pair.folder / "app").iterdir()):
        path.chmod(0o700 if path.is_dir() else 0o600)
    with pair:
        pair.compose("rm", "--force")
        yield pair


def run_job(pair: Pair) -> tuple[int, dict[str, Logs]]:
    """Run the steps as a CI job does; return its exit code, and what Compose's commands say."""
    exit_code, said = 0, {}
    for step in STEPS:
        if exit_code == 0 or step.get("if") == "always()":
            done = subprocess.run(
                ["bash", "-e", "-c", step["run"]],
                cwd=pair.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                check=False,
                timeout=ENDLESS,
            )
            said[step["run"].split()[2]] = Logs(done.stdout, done.stderr)
            exit_code = exit_code or done.returncode
    return exit_code, said


@pytest.mark.parametrize(
    ("env", "of_server", "exit_code", "stdout", "logged"),
    [
        ({}, {}, 0, "SERVER OK - STATUS 200\n", "Testando conexão"),
        (IN_VAIN, {"IDLE_TIMEOUT": "soon"}, 69, "", "IDLE_TIMEOUT='soon'"),
        ({}, {"REPLY": "SERVER OK - STATUS 201"}, 76, "", "Testando conexão"),
    ],
    ids=["right reply", "server fails at once", "wrong reply"],
)
def test_how_it_ends(
    new_pair: NewPair,
    env: dict[str, str],
    of_server: dict[str, str],
    exit_code: int,
    stdout: str,
    logged: str,
) -> None:
    """Its exit code is the client's, whose stdout is the result alone; nothing is left."""
    pair = new_pair(**env)
    pair.override("server", environment=of_server)
    with clone(pair):
        ended, said = run_job(pair)

        assert ended == exit_code, said
        assert said["run"].stdout == stdout
        assert logged in said["logs"].stdout
        assert pair.what_is_there() == []


def test_the_image_of_another_day(new_pair: NewPair) -> None:
    """A client image that is there already is built anew, and the result is the new one's."""
    with clone(new_pair()) as pair:
        code = pair.folder / "app" / "client.py"
        today = code.read_text(encoding="utf-8")
        code.write_text("print('of another day')", encoding="utf-8")
        pair.compose("build", "client")
        code.write_text(today, encoding="utf-8")

        assert run_job(pair)[1]["run"].stdout == "SERVER OK - STATUS 200\n"


def test_two_jobs_on_one_host(new_pair: NewPair) -> None:
    """A job runs at its own addresses beside another's server, which stays as it is."""
    with clone(new_pair()) as one, clone(new_pair(OUTPUT="json", REPLY="another")) as other:
        one.compose("up", "--detach", "server")
        started = one.server.attrs["State"]["StartedAt"]
        result = json.loads(run_job(other)[1]["run"].stdout)

        assert result["reply"] == "another"
        assert result["local"].startswith(f"{other.env['CLIENT_HOST']}:")
        assert result["peer"] == f"{other.env['SERVER_HOST']}:8888"
        assert one.server.status == "running"
        assert one.server.attrs["State"]["StartedAt"] == started
