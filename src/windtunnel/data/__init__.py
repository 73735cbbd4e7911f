"""What a model learns from and is asked."""
