"""Tracking through a person's own video: what `track.py` does."""
