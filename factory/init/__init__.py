"""A new repository: its settings, its example, its CI files, and what coding agents read."""
