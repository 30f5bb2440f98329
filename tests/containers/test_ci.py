"""The steps that README.md gives for a CI job, run as they stand there."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from tests.containers.support import Logs, NewPair, Pair
from tests.support import ROOT

# Seconds after which a step counts as one that never ends; a build is the longest.
ENDLESS = 100.0

# Without a server the client has given up after about a second.
IN_VAIN = {"CONNECT_TIMEOUT": "0.3", "RETRY_DELAY": "0.3", "DEADLINE": "1"}

Step = dict[str, str]


def steps() -> list[Step]:
    """Take the steps out of README.md."""
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    found: list[Step] = yaml.safe_load(block)
    return found


class Job:
    """The steps as a CI job runs them, in a copy of the project; what comes of each stays."""

    def __init__(self, pair: Pair) -> None:
        self.exit_code = 0
        self.said: dict[str, Logs] = {}
        for step in steps():
            if self.exit_code == 0 or step.get("if") == "always()":
                self._run(pair, step["run"])

    def _run(self, pair: Pair, command: str) -> None:
        done = subprocess.run(
            ["bash", "-e", "-c", command],
            cwd=pair.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=ENDLESS,
        )
        # Compose's second word: build, up, run, logs, down.
        self.said[command.split()[2]] = Logs(done.stdout, done.stderr)
        self.exit_code = self.exit_code or done.returncode


@contextmanager
def network_of(pair: Pair) -> Iterator[Pair]:
    """Have nothing but a network for the pair, so that no other run takes its subnet."""
    with pair:
        pair.compose("rm", "--force")
        yield pair


def test_the_workflow_has_the_same_steps() -> None:
    """The project's own CI runs what README.md tells others to run."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())

    assert [step for step in workflow["jobs"]["integration"]["steps"] if "run" in step] == steps()


def test_the_right_reply(new_pair: NewPair) -> None:
    """The job ends with 0, stdout of its client is the result alone, and nothing is left."""
    with network_of(new_pair()) as pair:
        job = Job(pair)

        assert job.exit_code == 0
        assert job.said["run"].stdout == "SERVER OK - STATUS 200\n"
        assert "Testando conexão" in job.said["logs"].stdout
        assert pair.what_is_there() == []


def test_a_server_that_fails_at_once(new_pair: NewPair) -> None:
    """The job ends with the client's 69, the server's log says why, and nothing is left."""
    with network_of(new_pair(**IN_VAIN, IDLE_TIMEOUT="soon")) as pair:
        job = Job(pair)

        assert job.exit_code == 69
        assert job.said["run"].stdout == ""
        assert "IDLE_TIMEOUT='soon'" in job.said["logs"].stdout
        assert pair.what_is_there() == []


def test_a_wrong_reply(new_pair: NewPair) -> None:
    """The job ends with 76."""
    pair = new_pair()
    pair.override("server", environment={"REPLY": "SERVER OK - STATUS 201"})
    with network_of(pair):
        assert Job(pair).exit_code == 76
        assert pair.what_is_there() == []


def test_the_image_of_another_day(new_pair: NewPair) -> None:
    """A client image that is there already is built anew, and the result is the new one's."""
    with network_of(new_pair()) as pair:
        code = pair.folder / "app" / "client.py"
        today = code.read_text(encoding="utf-8")
        code.write_text("print('of another day')", encoding="utf-8")
        pair.compose("build", "client")
        code.write_text(today, encoding="utf-8")

        assert Job(pair).said["run"].stdout == "SERVER OK - STATUS 200\n"


def test_the_client_keeps_its_address(new_pair: NewPair) -> None:
    """The client of the job has the address of .env."""
    with network_of(new_pair(OUTPUT="json")) as pair:
        result = json.loads(Job(pair).said["run"].stdout)

        assert result["local"].startswith(f"{pair.env['CLIENT_HOST']}:")
        assert result["peer"] == f"{pair.env['SERVER_HOST']}:8888"


def test_two_jobs_on_one_host(new_pair: NewPair) -> None:
    """A job runs to its end beside another's server, which stays as it is."""
    with network_of(new_pair()) as one, network_of(new_pair(REPLY="another")) as other:
        one.start("server")
        server = one.server

        assert Job(other).said["run"].stdout == "another\n"
        assert one.server.status == "running"
        assert one.server.attrs["State"]["StartedAt"] == server.attrs["State"]["StartedAt"]


def test_a_clone_made_with_umask_077(new_pair: NewPair) -> None:
    """What only the owner of the clone may read works in the containers all the same."""
    with network_of(new_pair()) as pair:
        for path in (pair.folder / "app", *(pair.folder / "app").iterdir()):
            path.chmod(0o700 if path.is_dir() else 0o600)

        assert Job(pair).exit_code == 0
