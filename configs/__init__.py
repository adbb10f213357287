"""Configs of the model family: `common.py` defines every field, a variant overrides a few."""
