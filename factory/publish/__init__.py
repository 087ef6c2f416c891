"""Pushing an image: its tags, sending it, and reading it back."""
