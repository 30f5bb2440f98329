"""What is for more than one machine; README.md has it."""
