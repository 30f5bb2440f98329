"""The scripts behind make. Only machines without a registry or Compose v2 need from_debian.sh."""
