"""What is done with a release: described, verified, versioned, published, compared, exported."""
