"""The images of a repository, their identities, and the plan of what to build."""
