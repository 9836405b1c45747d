"""Files as a stage leaves them: whole or not there, locked while they are written, known to be finished."""
