"""Konflux and Tekton: PipelineRuns, prefetch input, test outputs."""
