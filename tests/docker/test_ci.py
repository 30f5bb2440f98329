"""The steps that README.md gives for a CI job, run as they stand there."""

import re
import subprocess

import pytest
import yaml

from tests.lib.containers import Logs, NewPair, Pair
from tests.lib.support import ROOT

(BLOCK,) = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
STEPS: list[dict[str, str]] = yaml.safe_load(BLOCK)

# Seconds after which a step counts as one that never ends; a build is the longest.
ENDLESS = 100.0

# With an empty value the server ends at once, and the client gives up after about a second.
FAILING = {"IDLE_TIMEOUT": "", "CONNECT_TIMEOUT": "0.3", "RETRY_DELAY": "0.3", "DEADLINE": "1"}


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
    ("env", "exit_code", "stdout", "logged"),
    [
        ({}, 0, "SERVER OK - STATUS 200\n", "Testando conexão"),
        (FAILING, 69, "", "IDLE_TIMEOUT=''"),
    ],
    ids=["expected reply", "server fails"],
)
def test_a_job_ends_with_the_client(
    new_pair: NewPair, env: dict[str, str], exit_code: int, stdout: str, logged: str
) -> None:
    """A job gives the client's exit code and result, runs each program once and leaves nothing."""
    pair = new_pair(**env)
    pair.compose("rm", "--force")
    # An image of another day is there, and only the owner may read the clone (umask 077).
    code = pair.folder / "app" / "client.py"
    today = code.read_text(encoding="utf-8")
    code.write_text("print('of another day')", encoding="utf-8")
    pair.compose("build", "client")
    code.write_text(today, encoding="utf-8")
    for path in (pair.folder / "app", *(pair.folder / "app").iterdir()):
        path.chmod(0o700 if path.is_dir() else 0o600)

    ended, said = run_job(pair)

    assert ended == exit_code, said
    assert said["run"].stdout == stdout
    assert said["logs"].stdout.count(logged) == 1
    assert pair.what_is_there() == []
