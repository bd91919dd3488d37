"""Cosmic rays in darks taken during slews: detection, cleaning, clusters and statistics."""
