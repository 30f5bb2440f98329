"""The server, in twenty lines: what anybody writes first."""

import os
import socket

HOST = os.environ.get("HOST", "127.0.0.1")
PORT = int(os.environ.get("PORT", "8888"))
server = (HOST, PORT)

s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.bind(server)
s.listen()
while True:
    clientConn, clientAddress = s.accept()
    while True:
        data = clientConn.recv(1024)
        if not data:
            break
        print(clientAddress[0], data.decode(), flush=True)
        clientConn.sendall(b"SERVER OK - STATUS 200")
    clientConn.close()
