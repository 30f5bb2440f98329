"""Scripts for maintainers: tests, releases, other Docker versions."""
