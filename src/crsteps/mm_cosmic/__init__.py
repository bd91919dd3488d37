"""MM.Cosmic: masking pixels hit in several of a few equal exposures, and combining them."""
