"""The client waits for services of others: these tests need Docker and their image."""
