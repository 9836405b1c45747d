"""Servers and commands of this machine."""
