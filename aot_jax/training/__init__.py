"""Losses, optimizer, state, step and loop of training."""
