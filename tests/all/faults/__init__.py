"""Needs Linux and strace, or Docker, which then runs these tests in an image that has it."""
