"""Checking labels by hand: which images to show, what the answers say of the others, and with what confidence."""
