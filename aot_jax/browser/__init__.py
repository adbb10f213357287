"""Web page to draw masks and to watch and correct tracking: `track.py VIDEO --browser`."""
