"""Track a video of your own: prompts, running both ways, pictures, exports."""
