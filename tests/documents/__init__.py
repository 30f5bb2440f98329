"""The documents against the programs. These tests need no Docker and no root."""
