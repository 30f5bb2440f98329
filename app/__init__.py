"""A TCP server, and a client that waits for it, on the standard library alone.

From the inside out: ``protocol`` and ``config``, ``exchange`` (connect, send, compare), ``result``,
``log``, ``usage``, ``process`` (signals, descriptors); ``client``, ``server``, ``healthcheck``.
"""

__version__ = "0.2.0"
