"""Whether a model knows what it knows: formats of questions, P(True), P(IK) and what they are compared with."""
