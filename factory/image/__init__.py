"""The container engine and image builds."""
