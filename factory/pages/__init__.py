"""Self-contained HTML pages: templates, charts, and how they are filled."""
