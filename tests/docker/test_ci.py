"""The steps of a CI job in README.md, run word for word."""

import json
import re
import subprocess

import yaml

from tests.lib.containers import NewPair, Pair
from tests.lib.support import ROOT

(BLOCK,) = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
STEPS: list[dict[str, str]] = yaml.safe_load(BLOCK)

# With an empty value the server ends at once, and the client gives up after about a second.
FAILING = {"IDLE_TIMEOUT": "", "CONNECT_TIMEOUT": "0.3", "RETRY_DELAY": "0.3", "DEADLINE": "1"}


def run_job(pair: Pair) -> tuple[int, dict[str, str]]:
    """Run the steps as a CI job does; return its exit code, and the output of each command."""
    exit_code, said = 0, {}
    for step in STEPS:
        if exit_code == 0 or step.get("if") == "always()":
            command = ["bash", "-e", "-c", step["run"]]
            done = subprocess.run(
                command, cwd=pair.folder, check=False, stdout=subprocess.PIPE, encoding="utf-8"
            )
            said[step["run"].split()[2]] = done.stdout
            exit_code = exit_code or done.returncode
    return exit_code, said


def clone(pair: Pair) -> Pair:
    """Make the pair a clone that only its owner may read (umask 077), with an old client image."""
    pair.compose("rm", "--force")
    code = pair.folder / "app" / "client.py"
    today = code.read_text(encoding="utf-8")
    code.write_text("print('of another day')", encoding="utf-8")
    pair.compose("build", "client")
    code.write_text(today, encoding="utf-8")
    subprocess.run(["chmod", "-R", "go=", "app"], cwd=pair.folder, check=True)
    return pair


def test_job_uses_the_settings_in_env(new_pair: NewPair) -> None:
    """The addresses, the port and the texts in .env reach both containers."""
    message, reply = r"\x4fl\xc3\xa1 $HOME #1", "pronto: 100 %"
    pair = clone(new_pair(SERVER_PORT="7777", MESSAGE=message, REPLY=reply, OUTPUT="json"))

    ended, said = run_job(pair)

    assert ended == 0, said
    result = json.loads(said["run"])
    assert (result["status"], result["reply"]) == ("ok", reply)
    assert result["peer"] == f"{pair.env['SERVER_HOST']}:7777"
    assert result["local"].startswith(f"{pair.env['CLIENT_HOST']}:")
    assert f" {result['local']}: Olá $HOME #1\n" in said["logs"]
    assert pair.what_is_there() == []


def test_job_fails_with_the_client(new_pair: NewPair) -> None:
    """A job ends with the client's exit code, and does not restart a failed server."""
    pair = clone(new_pair(**FAILING))

    ended, said = run_job(pair)

    assert (ended, said["run"]) == (69, ""), said
    assert said["logs"].count("IDLE_TIMEOUT=''") == 1
    assert pair.what_is_there() == []
