"""Persistence as a power law: what a stimulus leaves, its charge in an exposure, the fit."""
