"""Test built images in containers, at several levels, and report the results."""
