"""The rules: what is wrong with a flavor, found without a network."""
