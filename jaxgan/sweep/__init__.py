"""Sweeps: many runs as few programs."""
