"""Which packages share a layer of the image, how large they are, and when they were published."""
