"""The bundled sample, and its small encoder."""
