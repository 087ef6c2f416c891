"""What an index lacks, all of it, and which packages ask for it."""
