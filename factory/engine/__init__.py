"""The container engine: the command line of podman, or of docker."""
