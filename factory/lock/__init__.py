"""The lock file, uv and the package index."""
