"""Write files safely: whole or absent, locked while they are written, marked when they are finished."""
