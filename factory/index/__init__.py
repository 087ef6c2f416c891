"""Read package indexes, independently of what is wanted from them."""
