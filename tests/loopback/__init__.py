"""The programs as processes on loopback. These tests need no Docker and no root."""
