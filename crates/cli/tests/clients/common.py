"""What the Python scripts share: their arguments, and a way to move the server's clock."""

import socket
import sys

HOST, PORT = sys.argv[1].rsplit(":", 1)
PORT = int(PORT)
USER, PASSWORD = sys.argv[2:4] if len(sys.argv) > 2 else (None, None)

# Larger than every buffer of the server, and not a multiple of anything.
LARGE = bytes(i * 31 % 251 for i in range(700_001))


def expect(line, sock):
    reply = sock.recv(100)
    assert reply == line + b"\r\n", reply


def pass_seconds(seconds):
    """Lets time pass for the server."""
    with socket.create_connection((HOST, PORT)) as sock:
        if USER:
            data = f"{USER} {PASSWORD}"
            sock.sendall(f"set auth 0 0 {len(data)}\r\n{data}\r\n".encode())
            expect(b"STORED", sock)
        sock.sendall(f"debugtime {seconds}\r\n".encode())
        expect(b"OK", sock)
