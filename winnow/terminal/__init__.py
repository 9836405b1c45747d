"""What a person reads: one way to print, to take secrets out, and to end a command."""
