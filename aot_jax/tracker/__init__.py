"""Track the objects of a video, frame by frame."""
