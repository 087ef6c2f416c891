"""One model of a Dockerfile: instructions, stages, arguments, references, shell text."""
