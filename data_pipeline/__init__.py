"""Clips for training: raw folders -> prepared records -> sampled, augmented and merged batches."""
