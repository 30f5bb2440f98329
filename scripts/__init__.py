"""What make runs. without_registry/ is only for machines that cannot pull images."""
