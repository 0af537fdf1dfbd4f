"""What is kept of scored subnets: a Pareto front per DVFS level, its progress, its points."""
