"""Tests of single functions. They need no Docker and no root."""
