"""How tokens are sampled and scored, over any decoder with a cache."""
