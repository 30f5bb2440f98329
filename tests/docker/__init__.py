"""The pair in containers: these tests need Docker and the pair's images."""
