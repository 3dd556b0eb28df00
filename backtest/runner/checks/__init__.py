"""Checks: whether a strategy looks ahead, keeps state, or needs more history than it will have live."""
