"""The programs that this project grew from, plain sockets, with ours at the other end."""

import socket
import threading

from tests.peers import own_address
from tests.programs import Server, run_client
from tests.support import PATIENCE


def test_the_original_client_is_answered(server: Server) -> None:
    """The seed's client gets its reply in one read."""
    client_socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client_socket.connect(server.address)
    client_socket.sendall("Testando conexão".encode())
    reply = client_socket.recv(1024).decode()
    client_socket.close()

    assert reply == "SERVER OK - STATUS 200"


def test_the_original_server_satisfies_our_client() -> None:
    """The seed's server reads our message, answers, and sees the client end."""
    heard = []
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.bind((own_address(), 0))
    s.listen()

    def serve() -> None:
        connection, _ = s.accept()
        while True:
            data = connection.recv(1024)
            heard.append(data.decode())
            if not data:
                break
            connection.sendall(b"SERVER OK - STATUS 200")
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    outcome = run_client(s.getsockname())
    thread.join(PATIENCE)
    s.close()

    assert outcome[:2] == (0, "SERVER OK - STATUS 200\n")
    assert heard == ["Testando conexão", ""]
