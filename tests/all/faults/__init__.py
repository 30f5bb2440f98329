"""Failing system calls. These tests need strace on Linux, or Docker and an image with strace."""
