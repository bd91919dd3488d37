"""Removal of 1/f noise: scene mask, background, noise spectrum and estimators, on arrays."""
