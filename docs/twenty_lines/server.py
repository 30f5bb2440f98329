"""The server, in twenty lines: what anybody writes first."""

import os
import socket

HOST = os.environ.get("HOST", "127.0.0.1")
PORT = int(os.environ.get("PORT", "8888"))

s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.bind((HOST, PORT))
s.listen()
while True:
    connection, address = s.accept()
    while True:
        data = connection.recv(1024)
        if not data:
            break
        print(address[0], data.decode(), flush=True)
        connection.sendall(b"SERVER OK - STATUS 200")
    connection.close()
