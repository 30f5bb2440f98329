"""The server under load. These tests need Linux, 12,000 descriptors, and two cores for seconds."""
