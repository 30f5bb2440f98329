"""The server under thousands of clients: Linux, both cores for some seconds, 12,000 descriptors."""
