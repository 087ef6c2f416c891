"""The universal-image factory: creates, locks, proves and builds universal training images."""

__version__ = "0.1.0"
