"""What differs from one kind of registry to the next: what is checked, created, listed and deleted how."""
