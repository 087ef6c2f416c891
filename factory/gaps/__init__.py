"""Find everything that an index lacks, and which packages require it."""
