"""Clocks, power modes, sensors, and the journal that puts every change back."""
