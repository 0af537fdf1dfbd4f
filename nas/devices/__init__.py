"""What networks run on: profiles, the analytic model, this machine."""
