"""Attention heads: what they attend to, what they copy, what the model loses without them, and when they form."""
