"""Describe, verify, publish, compare and export releases."""
