"""Prefetch: the offline artifact folder and its environment."""
