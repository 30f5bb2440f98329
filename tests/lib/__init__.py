"""Helpers that tests import. The other folders contain only tests and fixtures."""
