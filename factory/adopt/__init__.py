"""Taking over a folder that was maintained by hand: what becomes of everything in it."""
