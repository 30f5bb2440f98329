"""The client, in twenty lines: what anybody writes first."""

import os
import socket
import time

SERVER_HOST = os.environ.get("SERVER_HOST", "127.0.0.1")
SERVER_PORT = int(os.environ.get("SERVER_PORT", "8888"))


def connect_to_server():
    while True:
        client_socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            client_socket.connect((SERVER_HOST, SERVER_PORT))
            return client_socket
        except OSError:
            time.sleep(2)


client_socket = connect_to_server()
client_socket.sendall("Testando conexão".encode())
print(client_socket.recv(1024).decode())
client_socket.close()
