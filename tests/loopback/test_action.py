"""The step of action.yml, as a CI runner runs it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from app import __version__
from app.config import ClientConfig, Environment
from tests.lib.peers import Address, listening, own_address
from tests.lib.programs import Server
from tests.lib.support import ROOT

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
(STEP,) = ACTION["runs"]["steps"]
# Inputs whose names differ from those of their variables.
INPUTS = {"SERVER_HOST": "host", "SERVER_PORT": "port", "SERVER_PROTOCOL": "protocol"}
# Inputs without the variable's default, because a protocol may set another.
SET_BY_PROTOCOL = {"host", "protocol", "port", "message", "reply", "reply-match", "wrong-reply"}


def run(folder: Path, address: Address, **given: str) -> dict[str, Any]:
    """Run the action in an empty folder, with defaults for other inputs; return its result."""
    inputs = {name: entry.get("default", "") for name, entry in ACTION["inputs"].items()}
    inputs |= given | {"host": address[0], "port": str(address[1] or "")}

    def evaluate(text: str) -> str:
        return re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda found: inputs[found[1]], text)

    script, output = folder / "script.sh", folder / "output"
    script.write_text(evaluate(STEP["run"]))
    (folder / "python3").symlink_to(sys.executable)
    env = {name: evaluate(text) for name, text in STEP["env"].items()}
    env |= {"PYTHONSAFEPATH": "1"}  # a job may set it: Python then imports nothing from the folder
    env |= {"GITHUB_ACTION_PATH": str(ROOT), "GITHUB_OUTPUT": str(output)}
    env |= {"PATH": f"{folder}:{os.defpath}"}
    # The command behind `shell: bash`.
    bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
    done = subprocess.run(bash, cwd=folder, env=env, capture_output=True, text=True, check=False)
    (line,) = output.read_text(encoding="utf-8").splitlines()
    name, _, text = line.partition("=")
    assert ACTION["outputs"][name]["value"] == f"${{{{ steps.{STEP['id']}.outputs.{name} }}}}"
    assert done.stdout == f"{text}\n"
    result: dict[str, Any] = json.loads(text)
    assert done.returncode == result["exit_code"]
    return result


def test_each_variable_is_an_input_with_its_default() -> None:
    """Each client variable except OUTPUT is an input, with the variable's default or with none."""
    env = Environment({})
    ClientConfig(env)
    inputs = {name: INPUTS.get(name, name.lower().replace("_", "-")) for name in env.asked}
    del inputs["OUTPUT"]
    expected: dict[str, str | None] = {key: env.asked[name][0] for name, key in inputs.items()}
    expected |= dict.fromkeys(SET_BY_PROTOCOL) | {"message": r"\default"}

    assert {name: entry.get("default") for name, entry in ACTION["inputs"].items()} == expected
    given = {name: f"${{{{ inputs.{key} }}}}" for name, key in inputs.items()}
    assert STEP["env"] == given | {"OUTPUT": "json"}


def test_host_and_port_are_enough(server: Server, tmp_path: Path) -> None:
    """A step with only a host and a port gets the server's reply, and outputs `ok`."""
    assert run(tmp_path, server.address)["status"] == "ok"


def test_step_in_the_readme_works(tmp_path: Path) -> None:
    """The step in README.md names this version, and waits for a service like PostgreSQL."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yml\n(- uses.*?)^```$", text, re.M | re.S)
    (step,) = yaml.safe_load(block)
    replies = {b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0": b"R\0\0\0\x08\0\0\0\0"}
    with listening(lambda sock: sock.sendall(replies[sock.recv(1024)])) as address:
        given = {name: str(value) for name, value in step["with"].items()}
        assert given.keys() <= ACTION["inputs"].keys()
        assert run(tmp_path, address, **given)["exit_code"] == 0
    assert step["uses"].endswith(f"@v{__version__}")


def test_step_fails_if_no_server_is_there(tmp_path: Path) -> None:
    """A step without a server ends with the client's exit code and has an output."""
    # The protocol sets the port.
    result = run(tmp_path, (own_address(), 0), protocol="beanstalkd", deadline="0.1")

    assert (result["exit_code"], result["cause"]) == (69, "ECONNREFUSED")


def test_input_is_never_read_as_shell(tmp_path: Path) -> None:
    """Shell syntax and line ends in an input reach the service unchanged, and run nothing."""
    a, b, c = (tmp_path / name for name in "abc")
    hostile = f"'\"; touch {a}; $(touch {b}) `touch {c}` ${{HOME}}\nresult=d\n{{\n"
    with listening(lambda sock: sock.sendall(sock.recv(1024))) as address:
        result = run(tmp_path, address, message=hostile, reply=hostile, **{"reply-match": "exact"})
    assert (result["exit_code"], result["reply"]) == (0, hostile)
    assert {path.name for path in tmp_path.iterdir()} == {"script.sh", "output", "python3"}


def test_empty_message_waits_for_a_greeting(tmp_path: Path) -> None:
    """A step with an empty `message` sends nothing and waits for the service's greeting."""
    with listening(lambda sock: sock.sendall(b"220 mail")) as address:
        given = {"message": "", "reply": "220 ", "reply-match": "prefix"}
        assert run(tmp_path, address, **given)["exit_code"] == 0
