"""Learning from repeated data: effective sizes, the band of damage, what is safe, and a model solved in closed form."""
