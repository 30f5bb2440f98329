"""Functions by themselves: these tests need nothing."""
