"""Bills of materials: what the lock adds to an image, in CycloneDX and SPDX."""
