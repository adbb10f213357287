"""Files in and out: frames, masks, videos."""
