"""What a release shows: its report, card and figures."""
