"""Synthetic sources whose truth is known exactly."""
