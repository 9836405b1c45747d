"""Encoders: what turns images and class names into features."""
