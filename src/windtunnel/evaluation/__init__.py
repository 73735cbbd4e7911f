"""What models can do, what they know they know, and how they behave."""
