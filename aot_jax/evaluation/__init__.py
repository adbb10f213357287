"""Run a tracker over the splits of benchmarks and score its masks."""
