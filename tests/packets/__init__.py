"""The page of packets out of captures: these tests need nothing, one of them Chromium."""
