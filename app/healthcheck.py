"""The health check of the server's image: one whole exchange with the server, 0 or 1."""

import os
import sys
import time

from .config import ANY_ADDRESS, HEALTH_ADDRESS, ConfigError, Environment, ServerConfig
from .exchange import Failed, Lookup, connect, exchange
from .log import log, set_up_logging
from .usage import usage

SECONDS = 3.0


def main() -> int:
    until = time.monotonic() + SECONDS
    if sys.argv[1:]:
        return usage("healthcheck", ServerConfig)
    set_up_logging("ERROR")
    try:
        config = ServerConfig(Environment(os.environ))
        host = "127.0.0.1" if config.host == ANY_ADDRESS else config.host
        sock = connect(host, config.port, until, Lookup(), HEALTH_ADDRESS)
        exchange(sock, b"health check", [config.reply], until)
    except (Failed, ConfigError) as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
