"""A server that misbehaves: ``split`` sends its reply in two parts, ``close`` sends none."""

import os
import socket
import sys
import time
from contextlib import suppress

HOST = os.environ.get("HOST", "127.0.0.1")
PORT = int(os.environ.get("PORT", "8888"))

with socket.create_server((HOST, PORT)) as listener:
    while True:
        connection, _ = listener.accept()
        with connection, suppress(OSError):  # the client may close at any moment
            if sys.argv[1] == "split":
                connection.recv(1024)
                connection.sendall(b"SERVER OK")
                time.sleep(0.2)  # so that the client reads each part by itself
                connection.sendall(b" - STATUS 200")
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1024):  # unread bytes would turn the FIN into a RST
                pass
