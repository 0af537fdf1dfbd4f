"""What subnets cost: all exit policies at all DVFS levels of each, scored at once."""
