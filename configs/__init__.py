"""Configs of the model family: `common.py` holds every field, a variant overrides a few."""
