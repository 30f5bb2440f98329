"""The server under load. These tests need Linux, two cores and 12,000 descriptors."""
