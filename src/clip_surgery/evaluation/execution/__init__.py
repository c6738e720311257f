"""Running an evaluation: plan, evaluator, worker processes, journal, resuming."""
