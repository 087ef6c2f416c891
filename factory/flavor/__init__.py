"""What a flavor is: its name, its spec, its folder."""
