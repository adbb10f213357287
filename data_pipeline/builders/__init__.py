"""TFDS builders: raw folders or procedural videos -> one random-access record a frame."""
