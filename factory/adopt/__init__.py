"""Make a flavor of a folder that was maintained by hand."""
