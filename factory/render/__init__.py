"""Render templates to files, and find drift."""
