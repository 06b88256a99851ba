"""One file a DVC stage, in the order of dvc.yaml: a pure function, and a main() that reads, calls, writes."""
