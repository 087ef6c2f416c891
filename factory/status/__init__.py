"""The status of every image: locked, rendered, built, tested, pushed."""
