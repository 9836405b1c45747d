"""Train the networks that judge a subset, and compare their accuracies."""
