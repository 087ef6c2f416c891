"""Which images a repository has, their identities, and the plan of what to build."""
