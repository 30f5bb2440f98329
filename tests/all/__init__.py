"""What only `make test-all` runs: each folder says what it needs."""
