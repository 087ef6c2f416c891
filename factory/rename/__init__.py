"""Renaming an image: its folder, its tables, its place as a parent, its PipelineRuns."""
