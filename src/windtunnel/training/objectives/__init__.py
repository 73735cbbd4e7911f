"""What a model is trained for: functions from a model and a batch to a summed loss and its count."""

from windtunnel.training.objectives.next_token import next_token, token_losses

__all__ = ["next_token", "token_losses"]
