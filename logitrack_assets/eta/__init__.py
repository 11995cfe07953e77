"""What an ETA is: features, training, evaluation, intervals, the artefact, its champion and its drift."""
