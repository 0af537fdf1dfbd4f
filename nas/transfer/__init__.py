"""From a proxy and few rows of the target to costs of any program, and how far to trust them."""
