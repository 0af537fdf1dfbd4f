"""What is kept of scored subnets: a Pareto front per DVFS level, and the result made of it."""
