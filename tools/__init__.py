"""What only maintainers run: tests, releases, pictures, other Dockers."""
