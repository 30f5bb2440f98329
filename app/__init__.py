"""A TCP server, and a client that waits for it, on the standard library alone.

From the inside out: ``protocol`` (bytes), ``config`` (the environment), ``tcp_info`` (what the
kernel knows), ``exchange`` (connect, send, compare), ``log`` and ``usage`` (what is written),
``signals`` (what ends a program); ``result`` and ``client`` (try until the right reply comes),
``server`` (one thread, one selector), ``healthcheck``.
"""

__version__ = "0.1.0"
