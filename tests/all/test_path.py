"""The recipes of docs/path.md, run as they stand there."""

import json
import re
import subprocess

from tests.lib.containers import Json, NewPair, Pair, logged
from tests.lib.support import ROOT

FULL_SIZE, BLOCKED = re.findall(
    r"^```sh\n(.*?)^```$", (ROOT / "docs" / "path.md").read_text(encoding="utf-8"), re.M | re.S
)


def run(recipe: str, pair: Pair) -> Json:
    """Run a recipe until a command of it fails; stdout must be the client's JSON alone."""
    done = subprocess.run(
        ["sh", "-ec", recipe],
        cwd=pair.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    result: Json = json.loads(done.stdout)
    assert done.returncode == result["exit_code"]
    return result


def test_full_size_packets(new_pair: NewPair) -> None:
    """They pass the bridge both ways: 0, segments of the wire's size, and none sent again."""
    with new_pair() as pair:
        result = run(FULL_SIZE, pair)

        assert result["exit_code"] == 0
        assert len(result["reply"]) >= 4000
        assert 1000 < result["mss"] < 1500
        assert result["resent"] == 0
        assert pair.what_is_there() == []


def test_nobody_has_the_address(new_pair: NewPair) -> None:
    """Without a server the recipe ends with 69, and the cause is that of a host not there."""
    with new_pair() as pair:
        result = run(BLOCKED, pair)

        assert (result["exit_code"], result["cause"]) == (69, "EHOSTUNREACH")


def test_nothing_listens_on_the_port(new_pair: NewPair) -> None:
    """A server that listens on another port is there, and refuses: 69 with that cause."""
    pair = new_pair()
    pair.override("client", environment={"SERVER_PORT": "9999"})
    with pair:
        pair.start("server")
        logged(pair.server, "listening")
        # Silence takes its time; a refusal does not.
        result = run(BLOCKED.replace("DEADLINE=5", "DEADLINE=1"), pair)

        assert (result["exit_code"], result["cause"]) == (69, "ECONNREFUSED")
