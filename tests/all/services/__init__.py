"""The client waits for third-party services. These tests need Docker and an image of services."""
