"""Where each flavor and image stands: locked, built, tested, pushed."""
