"""Building an image: package layers from wheels, and the engine for the rest."""
