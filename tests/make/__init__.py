"""What make runs, with a stub in place of docker: these tests need make and bash."""
