"""The targets of make, with a stub in place of docker. These tests need make and bash."""
