"""Container registries: which there are, what they hold, and the chores of keeping them."""
