"""Tests that only `make test-all` runs. Each folder says what it needs."""
