"""What make runs. from_debian.sh is only for machines without a registry or Compose v2."""
