"""What every study shares: runs, claims, sweeps, reports."""
