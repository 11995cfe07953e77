"""What an ETA is: features, training, evaluation, intervals, the artifact, its champion and its drift."""
