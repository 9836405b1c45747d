"""Encoders turn images and class names into features."""
