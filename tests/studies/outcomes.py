"""What tests of studies ask of a run."""


def verdicts(run):
    """The verdict on every claim."""
    return {finding.id: str(finding.verdict) for finding in run.ledger}


def effects_replicated(run):
    """The claims of an effect that came out replicated: none may in a null control."""
    return {finding.id for finding in run.ledger if finding.effect and str(finding.verdict) == "replicated"}
