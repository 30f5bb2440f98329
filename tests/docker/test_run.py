"""What `make run` does once everything is there, on a copy of the project."""

import signal

from tests.lib.containers import NewPair


def test_the_main_job(new_pair: NewPair) -> None:
    """The client waits, the server comes, the reply is shown, and nothing is left running."""
    with new_pair(CONNECT_TIMEOUT="0.5", RETRY_DELAY="0.3") as pair:
        with pair.play("scripts.run") as program:
            shown, _ = program.communicate()

        assert program.returncode == 0, shown
        waiting, listening, reply = (
            shown.index(text)
            for text in ("INFO waiting for", "INFO listening on", "client | SERVER OK - STATUS 200")
        )
        assert waiting < listening < reply
        assert shown.endswith("the client ended with exit code 0: all went well\n")
        assert pair.what_is_there() == []


def test_who_fails_is_named(new_pair: NewPair) -> None:
    """Whoever ends first gives the exit code: its own, not what Compose makes of it."""
    with new_pair(MAX_CONNECTIONS="0", DEADLINE="0", CONNECT_TIMEOUT="0.5") as pair:
        with pair.play("scripts.run") as program:
            shown, _ = program.communicate()

        assert program.returncode == 78, shown
        assert shown.endswith(
            "the server ended before the client with exit code 78: see its log above\n"
        )
        assert pair.what_is_there() == []


def test_an_interrupted_run_leaves_nothing(new_pair: NewPair) -> None:
    """Whoever has enough of it before the server is there gets the prompt back and a clean host."""
    with new_pair(CONNECT_TIMEOUT="0.5", RETRY_DELAY="0.3") as pair:
        with pair.play("scripts.run") as program:
            assert program.stdout
            while "starting the client" not in program.stdout.readline():
                pass
            program.send_signal(signal.SIGINT)
            rest = program.stdout.read()

        assert program.returncode == 128 + signal.SIGINT, rest
        assert rest.endswith("interrupted; nothing is left running\n")
        assert pair.what_is_there() == []
