"""SBOMs: what the lock adds to an image, in CycloneDX and SPDX."""
