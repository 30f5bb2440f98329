"""Both programs as PID 1, to which a signal without a handler is lost."""

import json
import signal

import pytest

from tests.lib.containers import STAYING, NewPair, exit_code, log_of, logged


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_signal_ends_both_at_once(new_pair: NewPair, number: signal.Signals) -> None:
    """The client ends with 128 and the signal's number, the server with 0, each within 2 s."""
    override = {name: {"stop_signal": number.name} for name in ("server", "client")}
    pair = new_pair(override, **STAYING, OUTPUT="json", LOG_LEVEL="DEBUG")
    pair.start()
    logged(pair.server, f"{pair.env['CLIENT_HOST']}:")

    # The server first: the client is connected to it.
    for container, code in ((pair.server, 0), (pair.client, 128 + number)):
        # After 2 s Docker would kill it, which is exit code 137.
        container.stop(timeout=2)
        assert exit_code(container) == code
    assert "INFO stopped" in log_of(pair.server)
    found = json.loads(pair.client.logs(stderr=False))
    assert (found["status"], found["exit_code"]) == ("interrupted", 128 + number)
