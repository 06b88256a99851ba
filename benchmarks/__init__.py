"""What is fast, against what; each script here is one command."""
