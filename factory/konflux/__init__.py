"""What Konflux and Tekton take and give: PipelineRuns, prefetch input, test outputs."""
