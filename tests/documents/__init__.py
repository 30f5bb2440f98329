"""The documents against the programs: these tests need nothing."""
