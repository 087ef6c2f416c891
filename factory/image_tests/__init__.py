"""Tests of built images: what is tried in a container, at which level, and what came of it."""
