"""Whether what describes deployments says what the code needs, and whether their commands run."""
