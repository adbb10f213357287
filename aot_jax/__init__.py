"""AOT and AOST in JAX: every object of a video tracked and segmented together in one pass."""
