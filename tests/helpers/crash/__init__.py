"""Trying to break the text-vector cache: killed writers, every crash point, cut power."""
