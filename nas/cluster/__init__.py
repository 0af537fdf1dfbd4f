"""Ray: one function of one item, run on every node of a cluster."""
