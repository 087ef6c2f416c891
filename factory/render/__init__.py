"""Templates to files, and drift."""
