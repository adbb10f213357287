"""Configs of the first training stage, on static images: one for each variant."""
