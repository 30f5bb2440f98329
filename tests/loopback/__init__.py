"""The programs as processes on loopback: no Docker, no root, no second that is not needed."""
