"""The networks that judge a subset, and what their accuracies say."""
