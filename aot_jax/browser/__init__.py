"""Draw first masks, watch and correct tracking in a web page: `track.py VIDEO --browser`."""
