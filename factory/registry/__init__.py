"""Container registries: declarations, client and drivers, inventory, retention and maintenance."""
