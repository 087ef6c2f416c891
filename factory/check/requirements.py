"""The requirements of a project, for the rules: `factory.flavor.requirements` under its earlier name."""

from factory.flavor.requirements import Asked, admits, applies, asked, dropped, parse

__all__ = ["Asked", "admits", "applies", "asked", "dropped", "parse"]
