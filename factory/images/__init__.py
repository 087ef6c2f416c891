"""Which images there are, their identities, and the plan of what must be built."""
