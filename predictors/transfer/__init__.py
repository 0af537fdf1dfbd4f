"""Costs on a new device, from proxies and a few of its rows."""
