"""Check flavors by rules, without a network."""
