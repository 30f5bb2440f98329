"""Networks with real faults, in namespaces: these tests need root on Linux."""
