"""Package indexes: reading what they have, and nothing about what is wanted of them."""
