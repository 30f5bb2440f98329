"""The pair on several hosts: Docker daemons on this machine, each in namespaces of its own."""
