"""What is fast, against what; each file is one command."""
