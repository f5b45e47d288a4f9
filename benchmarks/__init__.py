"""Measurements as ratios within one run: absolute times belong to one machine and one hour."""
