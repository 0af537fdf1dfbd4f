"""A network that proposes designs for a device (instant search), and their repair."""
