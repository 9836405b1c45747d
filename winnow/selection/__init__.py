"""How labels are judged, how a class is covered, and why a sample was dropped."""
