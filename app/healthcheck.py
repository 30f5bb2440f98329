"""The health check of the server's image: one whole exchange with the server, 0 or 1."""

import os
import sys
import time

from app.client import Failed, Lookup, connect_to_server, exchange
from app.config import HEALTH_ADDRESS, ConfigError, ServerConfig
from app.log import ERROR, Log

SECONDS = 3.0


def main() -> int:
    until = time.monotonic() + SECONDS
    try:
        config = ServerConfig(os.environ)
        host = "127.0.0.1" if config.host == "0.0.0.0" else config.host
        with connect_to_server(host, config.port, until, Lookup(), HEALTH_ADDRESS) as sock:
            exchange(sock, b"health check", config.reply, until)
    except (Failed, ConfigError) as error:
        Log(ERROR)(ERROR, "%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
