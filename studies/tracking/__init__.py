"""What a study leaves behind: its ledger (the source of truth) and the MLflow mirror of it."""
