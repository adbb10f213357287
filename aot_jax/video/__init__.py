"""Track a user's video: prompts, both directions, overlay, exports."""
