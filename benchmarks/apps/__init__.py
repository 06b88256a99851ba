"""What runs inside the alternatives' own environments; nothing here is imported by the benchmark itself."""
