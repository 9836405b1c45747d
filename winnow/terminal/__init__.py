"""Terminal output: print, redact secrets, and end a command, each in one way."""
