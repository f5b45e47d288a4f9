"""Hostile programs of every kind, graded for real: what each tries, and that it neither passes nor has an effect."""
