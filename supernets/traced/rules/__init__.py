"""What the calls of a torch network mean, one rule each."""
