"""Make a flavor from a folder that was maintained by hand."""
