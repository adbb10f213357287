"""Read and write frames, masks, videos and data sets."""
