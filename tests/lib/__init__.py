"""What tests import; the other folders hold tests and fixtures alone."""
