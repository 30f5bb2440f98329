"""The explanation of captured packets. Only one of these tests needs a program: Chromium."""
