"""Keep flavors current: audit, bump, promote, align, diff and drift report."""
