"""The chores that keep flavors current: each of them done by hand once, and one command now."""
